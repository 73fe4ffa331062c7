// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
public import LinuxSystem

/// The directory that holds everything Galley keeps, and this process's place in it.
///
/// Unfinished work lies in `tmp/<owner>/`; the owner holds a lock on `tmp/<owner>.lock` for as long as it lives, so
/// that whoever opens the root next can tell a dead owner's leftovers and remove them.
public final class StoreRoot: Sendable {
    public let path: RawPath
    /// This process's directory below `tmp/`.
    public let temporary: RawPath
    private let owner: RawPath
    private let lock: FileLock
    /// When this process began to use the root: nanoseconds since 1970.
    private let started: Int64
    /// Shared by all who use the root; had alone by who replaces its database.
    private let use: FileLock
    private let names = Monitor(0)

    /// Makes what is missing and removes what dead processes left.
    ///
    /// - Parameter clearsLeftovers: false leaves what dead processes left, for who only looks.
    public init(_ path: RawPath, clearsLeftovers: Bool = true) throws {
        self.path = path
        do throws(SystemError) {
            for directory in ["blobs/sha256", "blobs/sha512", "snapshots", "tmp"] {
                try makeDirectories(path.appending(directory), mode: 0o700)
            }
            use = try FileLock(Self.useLock(path), shared: true)
        } catch {
            throw Self.unusable(path, error)
        }
        do {
            (owner, lock) = try Self.claimOwner(path.appending("tmp"))
            temporary = path.appending("tmp").appending(owner)
            started = try status(at: workingDirectory, temporary.appendingSuffix(".lock")).modified.sinceEpoch
            try makeDirectory(temporary, mode: 0o700)
        } catch let error as SystemError {
            throw Self.unusable(path, error)
        }
        if clearsLeftovers { removeDeadOwners() }
    }

    deinit { close() }

    /// Removes this process's unfinished work and its place in the root. Nothing may use the root afterwards.
    public func close() {
        // What cannot be removed keeps its lock file: by that the next one finds it.
        guard (try? removeTree(temporary)) != nil else { return }
        try? removeFile(lockFile(owner))
    }

    private func lockFile(_ owner: RawPath) -> RawPath {
        path.appending("tmp").appending(owner).appendingSuffix(".lock")
    }

    /// A path in this process's directory that nobody else uses. Nothing is made.
    public func temporaryPath(_ purpose: String) -> RawPath {
        let number = names.withLock { number in
            number += 1
            return number
        }
        return temporary.appending("\(purpose)-\(number)")
    }

    /// Makes an empty directory, to be removed or renamed away by the caller; it goes with the process otherwise.
    public func makeTemporaryDirectory(_ purpose: String, mode: UInt32 = 0o700) throws -> RawPath {
        let path = temporaryPath(purpose)
        try makeDirectory(path, mode: mode)
        return path
    }

    /// What is used now is marked with this: nanoseconds since 1970, never before this process's own beginning, which
    /// others go by, even when the clock was set back since.
    public var useStamp: Int64 { max(FileTime.now.sinceEpoch, started) }

    /// When the longest running of the other processes that use the root began: nanoseconds since 1970, nil if there is
    /// none.
    ///
    /// A process that is not seen here marks what it uses with a later stamp than this moment.
    public func oldestLiveOwner() throws -> Int64? {
        let tmp = path.appending("tmp")
        let directory = try open(tmp, [.directory])
        var oldest: Int64?
        for entry in try readDirectory(directory.raw) {
            let name = entry.name.description
            guard name.hasSuffix(".lock"), name != "\(owner).lock" else { continue }
            guard let status = try statusIfPresent(at: directory.raw, entry.name) else { continue }
            // One that ended just now took its file away.
            guard case .held = try Self.look(at: tmp.appending(entry.name)) else { continue }
            oldest = min(oldest ?? .max, status.modified.sinceEpoch)
        }
        return oldest
    }

    /// The last moment of which it is sure that nobody needs what was last used then: nanoseconds since 1970.
    ///
    /// Read it before anything that says what is needed.
    public func pruneHorizon() throws -> Int64 {
        let now = FileTime.now.sinceEpoch
        return min(try oldestLiveOwner() ?? .max, now) - 1
    }

    /// The root for one process alone; nil when others use it or come to use it within some seconds. They wait for as
    /// long as the value lives.
    public static func exclusively(_ path: RawPath) throws -> FileLock? {
        for attempt in 0..<100 {
            if attempt > 0 { usleep(50_000) }
            if let lock = try FileLock(trying: useLock(path)) { return lock }
        }
        return nil
    }

    private static func useLock(_ path: RawPath) -> RawPath { path.appending("use.lock") }

    private static func unusable(_ path: RawPath, _ error: SystemError) -> ContentError {
        if error.isDiskFull {
            return ContentError(
                .diskFull,
                "the disk that holds \(path) is full",
                nextStep: "free space there, or run: galley prune"
            )
        }
        let hint =
            error.errno == EROFS
            ? "the file system is read-only: choose another directory with --root or GALLEY_ROOT"
            : "choose a directory that can be written with --root or GALLEY_ROOT"
        return ContentError(.unusableRoot, "cannot use \(path) as Galley's root: \(error)", nextStep: hint)
    }

    private static func claimOwner(_ tmp: RawPath) throws -> (RawPath, FileLock) {
        while true {
            let name = RawPath("owner-" + String(UInt64.random(in: 0 ... .max), radix: 36))
            let file = tmp.appending(name).appendingSuffix(".lock")
            guard let lock = try FileLock(trying: file) else {
                // Somebody looks whether its owner lives. Nobody else gives a file this name.
                try? removeFile(file)
                continue
            }
            // Somebody who cleaned up may have taken the file away between its creation and its lock.
            if try statusIfPresent(at: workingDirectory, file)?.inode == lock.inode { return (name, lock) }
        }
    }

    private func removeDeadOwners() {
        let tmp = path.appending("tmp")
        guard let directory = try? open(tmp, [.directory]), let entries = try? readDirectory(directory.raw) else {
            return
        }
        for entry in entries {
            let name = entry.name.description
            if name.hasSuffix(".lock") {
                guard name != "\(owner).lock" else { continue }
                guard case .free(let held)? = try? Self.look(at: tmp.appending(entry.name), alone: true) else {
                    continue
                }
                withExtendedLifetime(held) { removeDeadOwner(RawPath(String(name.dropLast(5)))) }
            } else if name.hasPrefix("owner-"), entry.name != owner {
                try? removeUnlockedOwner(entry.name)
            }
        }
    }

    /// The caller has its lock. A tree that cannot be removed (files of subordinate users) keeps its lock file, for a
    /// later try.
    private func removeDeadOwner(_ name: RawPath) {
        guard (try? removeTree(path.appending("tmp").appending(name))) != nil else { return }
        try? removeFile(lockFile(name))
    }

    /// Removes a tree that has no lock file. An owner makes its lock before its tree and removes it after that, so such
    /// a tree was made after its owner's end: by a program that it had started, and that died a moment later.
    private func removeUnlockedOwner(_ name: RawPath) throws {
        guard try statusIfPresent(at: workingDirectory, lockFile(name)) == nil,
            try statusIfPresent(at: workingDirectory, path.appending("tmp").appending(name)) != nil,
            let held = try FileLock(trying: lockFile(name))
        else { return }
        withExtendedLifetime(held) { removeDeadOwner(name) }
    }
}

extension RawPath {
    func appendingSuffix(_ suffix: String) -> RawPath { RawPath(bytes: bytes + Array(suffix.utf8)) }
}
