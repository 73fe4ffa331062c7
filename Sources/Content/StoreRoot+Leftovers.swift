// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
public import LinuxSystem

/// What dead processes left in `tmp/`, for who looks from outside.
extension StoreRoot {
    /// Names in `tmp/` that no live process owns: unfinished work and locks of dead ones. Nothing is changed.
    ///
    /// What has no lock at all counts when nobody else uses the root. Takes a moment when there is any.
    public static func leftovers(in path: RawPath) throws -> [RawPath] {
        try leftovers(in: path) { usleep(100_000) }
    }

    /// - Parameter pause: between two looks. Who comes or goes just then has made its lock and not taken it yet, or has
    ///   given it back and not removed it yet; what is the same a while later is a dead one's.
    static func leftovers(in path: RawPath, pause: () throws -> Void) throws -> [RawPath] {
        let tmp = path.appending("tmp")
        guard try statusIfPresent(at: workingDirectory, tmp) != nil else { return [] }
        let first = try unownedNames(in: tmp)
        if first.isEmpty { return [] }
        try pause()
        let second = try unownedNames(in: tmp)
        return first.filter { second[$0.key] == $0.value }.keys.sorted()
    }

    /// Removes what `leftovers` told of.
    public static func removeLeftovers(_ names: [RawPath], in path: RawPath) throws {
        let tmp = path.appending("tmp")
        // A lock goes last: it is what the next one finds the rest by.
        for name in names where !name.description.hasSuffix(lockSuffix) { try removeTree(tmp.appending(name)) }
        for name in names where name.description.hasSuffix(lockSuffix) {
            guard case .free(let held) = try look(at: tmp.appending(name), alone: true) else { continue }
            try withExtendedLifetime(held) { try removeFile(tmp.appending(name)) }
        }
    }

    /// With what tells each from another one that takes its name.
    private static func unownedNames(in tmp: RawPath) throws -> [RawPath: FileVersion] {
        let directory = try open(tmp, [.directory])
        let names = try readDirectory(directory.raw).map(\.name)
        var dead: Set<RawPath> = []
        var live: Set<RawPath> = []
        for name in names where name.description.hasSuffix(lockSuffix) {
            let tree = RawPath(String(name.description.dropLast(lockSuffix.count)))
            switch try look(at: tmp.appending(name)) {
            case .held: live.insert(tree)
            case .free: dead.formUnion([tree, name])
            case .gone: break
            }
        }
        let unowned = names.filter { !$0.description.hasSuffix(lockSuffix) && !live.contains($0) }
        let found = live.isEmpty ? dead.intersection(names).union(unowned) : dead.intersection(names)
        var versions: [RawPath: FileVersion] = [:]
        for name in found {
            guard let status = try statusIfPresent(at: directory.raw, name) else { continue }
            versions[name] = FileVersion(status)
        }
        return versions
    }

    private struct FileVersion: Hashable {
        let inode: UInt64
        /// Numbers are given out again.
        let changed: FileTime
        init(_ status: FileStatus) { (inode, changed) = (status.inode, status.changed) }
    }

    // MARK: Locks

    enum LockState {
        case held
        /// Nobody has it but the value, for as long as it lives.
        case free(FileLock)
        /// The file is gone, or was just now.
        case gone
    }

    /// Looks at a lock file that may go at any moment, without making it again.
    ///
    /// - Parameter alone: who looks at the same time finds it held. Otherwise all who look find it free.
    static func look(at lockFile: RawPath, alone: Bool = false) throws -> LockState {
        do throws(SystemError) {
            guard let held = try FileLock(trying: lockFile, shared: !alone, creates: false) else { return .held }
            // Another one may have taken the name since it was opened.
            let current = try statusIfPresent(at: workingDirectory, lockFile)
            return current?.inode == held.inode ? .free(held) : .gone
        } catch {
            if error.isNotFound { return .gone }
            throw error
        }
    }

    private static let lockSuffix = ".lock"
}
