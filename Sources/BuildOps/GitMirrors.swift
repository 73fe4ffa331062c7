// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import BuildCache
public import Content
public import LinuxSystem

/// All mirrors of repositories below `git/`.
public struct GitMirrors: Sendable {
    /// Tells in a mirror what it is one of.
    static let addressFile: RawPath = "galley-remote"

    private let root: StoreRoot

    public init(_ root: StoreRoot) { self.root = root }

    private func lockFile(_ directory: RawPath) -> RawPath {
        RawPath(bytes: directory.bytes.dropLast(".git".utf8.count) + Array(".lock".utf8))
    }

    /// Blocks.
    public func all(_ sizes: MeasuredSizes) throws -> [MutableStore] {
        let path = root.path.appending("git")
        guard try statusIfPresent(at: workingDirectory, path) != nil else { return [] }
        let handle = try open(path, [.directory])
        let locked = try lockedInodes()
        return try readDirectory(handle.raw).sorted(by: { $0.name < $1.name }).compactMap { entry in
            let name = "git/\(entry.name)"
            let directory = path.appending(entry.name)
            guard name.hasSuffix(".git") else { return nil }
            let head = try statusIfPresent(at: workingDirectory, directory.appending("HEAD"))
            return try MutableStore(
                directory,
                name: name,
                lockFile: lockFile(directory),
                purpose: directory.appending(Self.addressFile),
                created: head?.modified.seconds,
                locked,
                sizes
            )
        }
    }

    /// Removes those of the mirrors that nobody uses now; returns their names with the bytes that they had on disk. What
    /// was fetched is fetched again when it is needed. Blocks.
    public func remove(
        _ names: [String],
        _ cancellation: CancellationFlag = CancellationFlag()
    ) throws -> [(name: String, size: Int64)] {
        try removeStores(names, of: root, cancellation, lockFile: lockFile)
    }
}
