// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// What a name in a git repository stands for.
struct GitCommit: Hashable, Sendable {
    /// A commit, or an annotated tag.
    var object: String
    /// The commit of an annotated tag; nil when `object` is the commit, or may be.
    var commit: String?
    /// The full name, like `refs/heads/main`; nil for an object that was named by its number.
    var reference: String?

    static func isFull(_ text: String) -> Bool {
        [40, 64].contains(text.utf8.count)
            && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }

    /// Asks the remote.
    static func find(_ reference: String?, in remote: String, _ git: GitProgram) async throws -> GitCommit {
        guard let reference else {
            let answer = try await git.run(["ls-remote", "--symref", "--", remote, "HEAD"])
            guard let found = defaultBranch(answer) else {
                throw GitProgram.Failure(message: "could not find default branch for repository: it is empty")
            }
            return found
        }
        let answer = try await git.run(["ls-remote", "--", remote, reference, "\(reference)^{}"])
        guard let found = GitCommit(reference, in: answer) else {
            throw GitProgram.Failure(message: "repository does not contain ref \(reference)")
        }
        return found
    }

    /// Reads the answer to `ls-remote --symref remote HEAD`.
    static func defaultBranch(_ answer: String) -> GitCommit? {
        var name = "HEAD"
        for line in answer.split(separator: "\n") {
            let fields = line.split(separator: "\t")
            guard fields.count == 2, fields[1] == "HEAD" else { continue }
            if fields[0].hasPrefix("ref: refs/heads/") {
                name = String(fields[0].dropFirst("ref: ".count))
            } else if isFull(String(fields[0])) {
                return GitCommit(object: String(fields[0]), commit: nil, reference: name)
            }
        }
        return nil
    }

    /// Reads the answer to `ls-remote remote reference reference^{}`: as git itself, a full name comes first, then a
    /// branch, then a tag.
    init?(_ reference: String, in answer: String) {
        var objects: [Substring: Substring] = [:]
        for line in answer.split(separator: "\n") {
            let fields = line.split(separator: "\t")
            if fields.count == 2, Self.isFull(String(fields[0])) { objects[fields[1]] = fields[0] }
        }
        func below(_ prefix: String) -> Substring {
            Substring(reference.hasPrefix(prefix) ? reference : prefix + reference)
        }
        for name in [below("refs/"), below("refs/heads/"), below("refs/tags/")] {
            guard let object = objects[name] else { continue }
            self.object = String(object)
            commit = objects[name + "^{}"].map(String.init)
            self.reference = String(name)
            return
        }
        return nil
    }

    init(object: String, commit: String?, reference: String?) {
        self.object = object
        self.commit = commit
        self.reference = reference
    }
}
