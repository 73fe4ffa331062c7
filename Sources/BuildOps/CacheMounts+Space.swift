// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import BuildCache
import Content
public import LinuxSystem

extension CacheMounts {
    /// All directories. Blocks.
    ///
    /// - Parameter sizes: what was measured before: whatever was not used since is not measured again.
    public func all(_ sizes: MeasuredSizes) throws -> [MutableStore] {
        guard try statusIfPresent(at: workingDirectory, path) != nil else { return [] }
        let handle = try open(path, [.directory])
        // Not by trying the locks: a build that looks for a free directory at that moment would take another one.
        let locked = try lockedInodes()
        return try readDirectory(handle.raw).sorted(by: { $0.name < $1.name }).compactMap { entry in
            let name = entry.name.description
            guard !name.hasSuffix(".lock") else { return nil }
            let directory = path.appending(entry.name)
            guard let status = try statusIfPresent(at: workingDirectory, directory.appending("id")) else { return nil }
            return try MutableStore(
                directory,
                name: "cache-mounts/\(name)",
                lockFile: lockFile(directory),
                purpose: directory.appending("id"),
                created: status.modified.seconds,
                locked,
                sizes
            )
        }
    }

    /// Removes those of the directories that nobody uses now; returns their names with the bytes that they had on disk.
    public func remove(
        _ names: [String],
        _ cancellation: CancellationFlag = CancellationFlag()
    ) throws -> [(name: String, size: Int64)] {
        try removeStores(names, of: root, cancellation, lockFile: lockFile)
    }
}
