// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
public import Content
import Glibc
public import LinuxSystem
import OCI

/// The directories of cache mounts: `cache-mounts/<key>-<number>/fs`, each with a lock file beside it.
///
/// A directory is used only under its lock, which dies with its process: shared by the users of a shared mount, alone by
/// all others. One key has several directories when one is not enough for those who want it at once.
public struct CacheMounts: Sendable {
    /// A directory in use. It may be removed by others when this value is gone.
    final class Lease: Sendable {
        let directory: RawPath
        private let lock: FileLock

        init(_ directory: RawPath, _ lock: FileLock) {
            self.directory = directory
            self.lock = lock
        }
    }

    let root: StoreRoot
    let path: RawPath

    /// - Parameter directory: where they are instead of the root's own; made when it is not there.
    public init(_ root: StoreRoot, directory: RawPath? = nil) {
        self.root = root
        path = directory ?? root.path.appending("cache-mounts")
    }

    /// What decides which directory a mount gets: as in BuildKit, mounts that would make their directories differently do
    /// not share one.
    ///
    /// - Parameter seed: identifies the content that a new directory gets.
    static func key(_ mount: CacheMount, seed: String?) -> Digest {
        var encoder = CanonicalEncoder()
        encoder.append("id", mount.id)
        encoder.append("mode", String(mount.permissions, radix: 8))
        encoder.append("owner", "\(mount.uid) \(mount.gid)")
        encoder.append("seed", seed)
        return Digest.sha256(encoder.bytes)
    }

    // MARK: Using

    /// The directory for a mount, made when there is none.
    ///
    /// - Parameters:
    ///   - fill: puts the first content into the new, empty directory; false when there is none.
    ///   - waits: told once when a locked mount has to wait.
    func lease(
        _ mount: CacheMount,
        key: Digest,
        fill: @escaping @Sendable (RawPath, CancellationFlag) throws -> Bool,
        waits: @Sendable () -> Void
    ) async throws -> Lease {
        var told = false
        while true {
            switch try await cancellableBlocking({ try self.attempt(mount, key, fill, $0) }) {
            case .lease(let lease): return lease
            case .beingMade: break
            case .busy:
                if !told { waits() }
                told = true
            }
            // The holder may be another process, which wakes nobody.
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    private enum Attempt {
        case lease(Lease)
        case busy
        /// Somebody puts the first content into it.
        case beingMade
    }

    /// One look at all directories of the key; makes one if those are not enough.
    private func attempt(
        _ mount: CacheMount,
        _ key: Digest,
        _ fill: (RawPath, CancellationFlag) throws -> Bool,
        _ cancellation: CancellationFlag
    ) throws -> Attempt {
        try makeDirectories(path, mode: 0o700)
        let prefix = String(key.hex.prefix(32)) + "-"
        while true {
            try cancellation.check()
            let numbers = try self.numbers(prefix)
            for number in numbers {
                switch try take(path.appending(prefix + String(number)), mount, fill, cancellation) {
                case .lease(let lease): return .lease(lease)
                case .busy: break
                // Its other users come to it too, rather than begin with another one.
                case .beingMade: if mount.sharing == .shared { return .beingMade }
                }
            }
            if mount.sharing == .locked, !numbers.isEmpty { return .busy }
            // A shared one is looked at again when it is made.
            let next = path.appending(prefix + String((numbers.last ?? -1) + 1))
            if case .lease(let lease) = try take(next, mount, fill, cancellation) { return .lease(lease) }
        }
    }

    private func take(
        _ directory: RawPath,
        _ mount: CacheMount,
        _ fill: (RawPath, CancellationFlag) throws -> Bool,
        _ cancellation: CancellationFlag
    ) throws -> Attempt {
        if try !exists(directory) {
            guard let lock = try lock(directory, shared: false) else { return .beingMade }
            let lease = Lease(directory.appending("fs"), lock)
            try withExtendedLifetime(lease) {
                if try !exists(directory) { try make(directory, mount, fill, cancellation) }
                if mount.sharing != .shared { try UseCount(lockFile(directory)).increment() }
            }
            // Nobody else could share it under this lock.
            return mount.sharing == .shared ? .beingMade : .lease(lease)
        }
        guard let lock = try lock(directory, shared: mount.sharing == .shared) else { return .busy }
        guard try exists(directory) else { return .beingMade }
        try UseCount(lockFile(directory)).increment()
        return .lease(Lease(directory.appending("fs"), lock))
    }

    /// Whether the directory can be used; one that was damaged counts as none.
    func exists(_ directory: RawPath) throws -> Bool {
        try statusIfPresent(at: workingDirectory, directory.appending("fs"))?.kind == .directory
    }

    /// Of all directories of the key that exist or are being made.
    private func numbers(_ prefix: String) throws -> [Int] {
        let directory = try open(path, [.directory])
        return try readDirectory(directory.raw).compactMap { entry in
            let name = entry.name.description
            guard name.hasPrefix(prefix), name.hasSuffix(".lock") else { return nil }
            return Int(name.dropFirst(prefix.count).dropLast(".lock".count))
        }.sorted()
    }

    func lockFile(_ directory: RawPath) -> RawPath { RawPath(bytes: directory.bytes + Array(".lock".utf8)) }

    /// Nil when somebody else has it.
    func lock(_ directory: RawPath, shared: Bool) throws -> FileLock? {
        try namedLock(lockFile(directory), shared: shared)
    }

    /// Makes the directory as a whole: nobody ever finds it half filled.
    private func make(
        _ directory: RawPath,
        _ mount: CacheMount,
        _ fill: (RawPath, CancellationFlag) throws -> Bool,
        _ cancellation: CancellationFlag
    ) throws {
        let temporary = try root.makeTemporaryDirectory("cache-mount")
        do {
            let content = temporary.appending("fs")
            try makeDirectory(content, mode: 0o700)
            let isFilled = try fill(content, cancellation)
            // A copy keeps what it was copied with, unless the mount asks for something.
            if !isFilled || mount.uid != 0 || mount.gid != 0 || mount.permissions != 0o755 {
                try setOwner(at: workingDirectory, content, uid: mount.uid, gid: mount.gid)
                try setPermissions(at: workingDirectory, content, mount.permissions)
            }
            try replaceFile(temporary.appending("id"), mount.id.utf8)
            // What is left of a damaged one.
            try removeTree(directory)
            try renameFile(temporary, to: workingDirectory, directory)
        } catch {
            try? removeTree(temporary)
            throw error
        }
    }
}
