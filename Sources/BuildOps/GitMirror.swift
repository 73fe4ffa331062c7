// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Content
import LinuxSystem
import OCI

/// A bare repository below the store's root that keeps what was fetched from one remote, for the next time.
///
/// Used by one process at a time. A fetch that was killed leaves at most what the next one puts right: objects are
/// named by their content, and a repository that git cannot use is made anew.
struct GitMirror: Sendable {
    let remote: String
    let path: RawPath
    private let root: StoreRoot
    private let isSHA256: Bool
    private let lock: FileLock

    /// Waits until no other build uses the mirror; the lock goes with the value.
    static func locked(_ remote: String, commit: String, in root: StoreRoot) async throws -> GitMirror {
        let directory = root.path.appending("git")
        try await blocking { try makeDirectories(directory, mode: 0o700) }
        let isSHA256 = commit.utf8.count == 64
        let name = Digest.sha256("\(isSHA256 ? "sha256" : "sha1") \(remote)").hex
        while true {
            let lock = try await blocking { try namedLock(directory.appending("\(name).lock")) }
            if let lock {
                let path = directory.appending("\(name).git")
                try await blocking { try UseCount(directory.appending("\(name).lock")).increment() }
                return GitMirror(remote: remote, path: path, root: root, isSHA256: isSHA256, lock: lock)
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// Where a fetched object is kept reachable.
    func name(of object: String) -> String { "refs/galley/\(object)" }

    /// Fetches `object`, which the remote calls `reference` when it has a name there, with as little else as the remote
    /// can do.
    func fetch(_ object: String, reference: String?, _ git: GitProgram) async throws {
        do {
            try await prepare(git)
            if try await has(object, git) { return }
            try await fetchMissing(object, reference, git)
        } catch let failure as GitProgram.Failure {
            try Task.checkCancellation()
            guard Self.damage.contains(where: failure.message.contains) else { throw failure }
            let path = path
            try await blocking { try removeTree(path) }
            try await prepare(git)
            try await fetchMissing(object, reference, git)
        }
    }

    /// What git says when the mirror itself is at fault, not the remote.
    private static let damage = [
        "not a git repository", "bad object", "corrupt", "unable to read", "cannot lock ref", "unable to create",
        "unable to update local ref", "could not be updated", "invalid object", "missing blob", "missing tree",
    ]

    private static func isUnfinished(_ name: String) -> Bool {
        name.hasPrefix("tmp_") || name.hasPrefix("incoming-") || name.hasSuffix(".lock")
    }

    private func prepare(_ git: GitProgram) async throws {
        let path = path
        let exists = try await blocking { () -> Bool in
            guard try statusIfPresent(at: workingDirectory, path.appending("HEAD")) != nil else { return false }
            // The lock is ours: whoever left these is dead.
            for name in ["shallow.lock", "packed-refs.lock", "config.lock", "HEAD.lock"] {
                try removeTree(path.appending(name))
            }
            // What a fetch that was killed had of its pack may be as large as the repository.
            for name in ["objects", "objects/pack", "objects/info"] {
                guard let names = try? open(path.appending(name), [.directory]) else { continue }
                for entry in try readDirectory(names.raw) where Self.isUnfinished(entry.name.description) {
                    try removeTree(at: names.raw, entry.name)
                }
            }
            if let names = try? open(path.appending("refs/galley"), [.directory]) {
                for entry in try readDirectory(names.raw) where entry.name.description.hasSuffix(".lock") {
                    try removeTree(at: names.raw, entry.name)
                }
            }
            return true
        }
        if exists { return }
        let fresh = try root.makeTemporaryDirectory("mirror")
        do {
            let format = isSHA256 ? ["--object-format=sha256"] : []
            try await git.run(["init", "--quiet", "--bare", "--template="] + format + [fresh.description])
            let address = Array(withoutPassword(remote).utf8)
            try await blocking {
                try replaceFile(fresh.appending(GitMirrors.addressFile), address)
                try removeTree(path)
                try renameFile(fresh, to: workingDirectory, path)
            }
        } catch {
            try? await blocking { try removeTree(fresh) }
            throw error
        }
    }

    private func has(_ object: String, _ git: GitProgram) async throws -> Bool {
        do {
            try await git.run(["--git-dir", path.description, "cat-file", "-e", "\(object)^{commit}"])
        } catch is GitProgram.Failure {
            return false
        }
        // Fetched before, so that everything below it is here; only its name may be gone.
        try await git.run(["--git-dir", path.description, "update-ref", name(of: object), object])
        return true
    }

    private func fetchMissing(_ object: String, _ reference: String?, _ git: GitProgram) async throws {
        var failure: GitProgram.Failure?
        for source in [reference, object].compactMap({ $0 }) {
            do {
                try await fetch(["--no-tags", "--", remote, "+\(source):\(name(of: object))"], shallow: true, git)
                if try await isThere(object, git) { return }
            } catch let error as GitProgram.Failure {
                failure = error
                if source == reference { throw error }
            }
        }
        // Not every server gives out a commit by its number alone: it must be looked for in all branches and tags.
        let isShallow = try await blocking { [path] in
            try statusIfPresent(at: workingDirectory, path.appending("shallow")) != nil
        }
        do {
            try await fetch(
                (isShallow ? ["--unshallow"] : []) + [
                    "--prune", "--no-tags", "--", remote, "+refs/heads/*:refs/all/heads/*",
                    "+refs/tags/*:refs/all/tags/*",
                ],
                shallow: false,
                git
            )
        } catch let error as GitProgram.Failure {
            throw failure ?? error
        }
        guard try await isThere(object, git) else {
            throw GitProgram.Failure(message: "the repository does not have the commit \(object)")
        }
        try await git.run(["--git-dir", path.description, "update-ref", name(of: object), object])
    }

    /// Whether the object is the commit that the server said it is.
    func verify(_ commit: GitCommit, _ git: GitProgram) async throws {
        guard let claimed = commit.commit else { return }
        let found = try await git.run(
            ["--git-dir", path.description, "rev-parse", "--verify", "--quiet", "\(commit.object)^{commit}"]
        ).filter { !$0.isWhitespace }
        guard found == claimed else {
            throw GitProgram.Failure(
                message: "the server says that \(commit.object) stands for \(claimed), but it stands for \(found)"
            )
        }
    }

    /// When a commit that was fetched was made: seconds since 1970.
    func time(of object: String, _ git: GitProgram) async throws -> Int64 {
        let text = try await git.run(["--git-dir", path.description, "log", "-1", "--format=%ct", "\(object)^{commit}"])
        guard let seconds = Int64(text.filter { !$0.isWhitespace }) else {
            throw GitProgram.Failure(message: "the commit \(object) has no time")
        }
        return seconds
    }

    private func isThere(_ object: String, _ git: GitProgram) async throws -> Bool {
        do {
            try await git.run(["--git-dir", path.description, "cat-file", "-e", "\(object)^{commit}"])
            return true
        } catch is GitProgram.Failure {
            return false
        }
    }

    private func fetch(_ arguments: [String], shallow: Bool, _ git: GitProgram) async throws {
        let start = ["--git-dir", path.description, "fetch", "--force", "--no-write-fetch-head"]
        do {
            try await git.run(start + (shallow ? ["--depth=1"] : []) + arguments)
        } catch let failure as GitProgram.Failure {
            // A repository that is only files on a web server cannot be fetched in part.
            guard shallow, failure.message.contains("shallow") || failure.message.contains("--depth") else {
                throw failure
            }
            try await git.run(start + arguments)
        }
    }
}
