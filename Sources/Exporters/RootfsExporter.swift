// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import Glibc
public import LinuxSystem
public import Snapshots
import Solver

/// The files of one image.
public struct RootfsTree: Sendable {
    /// Bottom first.
    public var layers: [SnapshotID]
    /// Where they go in the archive; nil is its root.
    public var directory: String?
    /// The time of every file; nil for their own.
    public var time: FileTime?

    public init(layers: [SnapshotID], directory: String? = nil, time: FileTime? = nil) {
        self.layers = layers
        self.directory = directory
        self.time = time
    }
}

/// Exports the files of an image without the image: as a tar archive or as a directory.
public struct RootfsExporter: Sendable {
    private let snapshots: any Snapshotter

    public init(_ snapshots: any Snapshotter) { self.snapshots = snapshots }

    /// Writes the merged trees as one uncompressed tar archive.
    public func exportArchive(
        _ trees: [RootfsTree],
        to destination: ExportDestination,
        transfers: @escaping TransferReporter = silentTransfers
    ) async throws {
        try await cancellableBlocking { [snapshots] cancellation in
            let output = try OutputFile(destination)
            let progress = transfers("sending tarball", nil)
            let writer = try LayerWriter { try output.write($0) }
            for tree in trees {
                let target: any ChangeSink = tree.directory.map { SubdirectorySink(writer, RawPath($0)) } ?? writer
                try Self.walk(tree, snapshots, to: CountingSink(target, cancellation, progress: progress))
            }
            _ = try writer.finish()
            try output.finish()
            progress.complete()
        }
    }

    /// Copies the merged tree into a directory, which is made when it is not there. The tree's own `directory` is nothing here.
    ///
    /// Files get the caller's owner. What has the name of a file of the tree is replaced, other files stay; nothing is
    /// written through a symlink that lies in the directory. A directory that was made goes again after an error.
    public func exportDirectory(
        _ tree: RootfsTree,
        to directory: RawPath,
        transfers: @escaping TransferReporter = silentTransfers
    ) async throws {
        try await cancellableBlocking { [snapshots] cancellation in
            let isNew: Bool
            let target: SharedFD
            do throws(SystemError) {
                isNew = try statusIfPresent(at: workingDirectory, directory, following: true) == nil
                try makeDirectories(directory)
                target = try open(directory, [.directory]).shared()
            } catch {
                throw OutputFile.failure(error, directory.description)
            }
            do {
                let progress = transfers("copying files", nil)
                let sink = DirectoryChangeSink(
                    target.raw,
                    options: DirectoryChangeSink.Options(
                        overlay: nil,
                        devices: isInitialUserNamespace() && geteuid() == 0 ? .create : .skip,
                        owner: (geteuid(), getegid())
                    )
                )
                try withExtendedLifetime(target) {
                    // The directory itself is the caller's, not the image's.
                    let counting = CountingSink(
                        sink,
                        cancellation,
                        progress: progress,
                        fillsHoles: false,
                        skipsRoot: true
                    )
                    try Self.walk(tree, snapshots, to: counting)
                    _ = try sink.finish()
                }
                progress.complete()
            } catch {
                if isNew { try? removeTree(directory) }
                throw Self.failure(error, directory.description)
            }
        }
    }

    private static func walk(_ files: RootfsTree, _ snapshots: any Snapshotter, to next: any ChangeSink) throws {
        let sink: any ChangeSink = files.time.map { time in RetimingSink(next) { _ in time } } ?? next
        let tree = try snapshots.readTree(files.layers)
        // The tree's root only names the directory.
        let root = try open(at: tree.root.raw, ".", [.directory]).shared()
        try withExtendedLifetime((tree, root)) { try LayerArchiver(root.raw, to: sink).walk() }
    }

    private static func failure(_ error: any Error, _ path: String) -> any Error {
        guard let archive = error as? ArchiveError, let cause = archive.cause as? SystemError else {
            return OutputFile.failure(error, path)
        }
        return cause.isDiskFull ? OutputFile.failure(cause, path) : error
    }
}

/// Puts a tree below a directory.
private final class SubdirectorySink: ChangeSink {
    private let next: any ChangeSink
    private let directory: RawPath

    init(_ next: any ChangeSink, _ directory: RawPath) {
        self.next = next
        self.directory = directory
    }

    private func moved(_ path: RawPath) -> RawPath { path.isEmpty ? directory : directory.appending(path) }

    func begin(_ path: RawPath, _ metadata: EntryMetadata) throws {
        var metadata = metadata
        if case .hardLink(let target) = metadata.kind { metadata.kind = .hardLink(target: moved(target)) }
        try next.begin(moved(path), metadata)
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws { try next.write(bytes) }
    func writeHole(_ count: Int64) throws { try next.writeHole(count) }
    func end() throws { try next.end() }
    func addWhiteout(_ path: RawPath) throws { try next.addWhiteout(moved(path)) }
    func makeOpaque(_ path: RawPath) throws { try next.makeOpaque(moved(path)) }
}
