// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import LinuxSystem

// What a build has reported as done outlives a power failure, and what it was about to do does no harm after one.
//
// Files of a layer are written without waiting for the disk. So a layer's row says since which start of the machine it
// may be in memory only. Found with another start than this one, the layer counts as missing, and the step runs again.
// Before a build is reported as done, one syncfs(2) brings everything to the disk, and then a transaction that waits for
// the disk takes that remark from the rows.

extension OverlaySnapshotter {
    /// Whether there are layers that `settle` has to do something about.
    public var hasUnsettledLayers: Bool { counted.withLock(waking: .none) { !$0.unsettled.isEmpty } }

    /// Begins to write to disk what is in memory, and returns when what is there now is written. Blocks.
    public func flush() throws {
        guard hasUnsettledLayers else { return }
        let directory = try open(root.path, [.directory])
        try syncFileSystem(directory.raw)
    }

    /// Returns when the layers that this process made or used, and everything else that was written to the store before,
    /// are on disk. Blocks; does nothing when there are none that may not be.
    public func settle() throws {
        let layers = counted.withLock(waking: .none) { $0.unsettled }
        if layers.isEmpty { return }
        do {
            let directory = try open(root.path, [.directory])
            try syncFileSystem(directory.raw)
            try database.writeDurably { transaction in
                let rows = try transaction.query(
                    "SELECT id, root FROM snapshots WHERE id IN (SELECT value FROM json_each(?))",
                    [.list(layers)]
                )
                for row in rows {
                    guard let id = row.integer(0), let mark = row.text(1).flatMap(LayerMark.init) else { continue }
                    try transaction.execute(
                        "UPDATE snapshots SET root = ? WHERE id = ?",
                        [.text(mark.settled.description), .integer(id)]
                    )
                }
            }
        } catch let error as SystemError where error.isDiskFull {
            throw diskFull
        }
        counted.withLock(waking: .none) { $0.unsettled.subtract(layers) }
    }

    /// Names this start of the machine; nil where the kernel does not tell, and layers are trusted without it.
    var machineStart: String? { Self.machineStart }

    private static let machineStart: String? = {
        let path: RawPath = "/proc/sys/kernel/random/boot_id"
        guard let bytes = try? readFile(path, limit: 1024) else { return nil }
        let text = String(decoding: bytes, as: UTF8.self).filter { $0.isHexDigit || $0 == "-" }
        return text.isEmpty ? nil : text
    }()
}
