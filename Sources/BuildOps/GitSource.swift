// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Content
import LinuxSystem
import OCI
import Snapshots
import Solver

/// A commit of a git repository as a layer. The remote is asked which commit a name stands for, and for its files only
/// when no former result has them.
final class GitSource: RemoteTree {
    let op: GitOp
    /// As git takes it: `github.com/owner/name` is an https address. A web address never says who asks: nothing that
    /// git writes or shows of it can be a secret.
    let remote: String
    /// What a web address said of that, percent-encoded.
    private let userInformation: String?
    private let info: VertexInfo
    private let ignoresCache: Bool
    let environment: StepEnvironment
    private let access: RemoteAccess
    private let announcement: SourceAnnouncement
    private let resolution = OnceTask<GitCommit>()
    private let result = OnceTask<StepValue>()

    init(_ op: GitOp, _ vertex: BuildVertex, _ environment: StepEnvironment, _ access: RemoteAccess) {
        self.op = op
        let address = op.remote.hasPrefix("github.com/") ? "https://\(op.remote)" : op.remote
        if let web = URLAuthority(address), web.isWeb, let user = web.userInformation {
            remote = web.withoutUser
            userInformation = user
        } else {
            remote = address
            userInformation = nil
        }
        info = vertex.info
        ignoresCache = vertex.metadata.ignoresCache
        self.environment = environment
        self.access = access
        announcement = SourceAnnouncement(vertex.info, environment)
    }

    func key() async throws -> CacheKey { key(try await resolved()) }
    func value() async throws -> StepValue { try await result.value { try await self.make() } }
    func announceUnused() { announcement.cached() }

    private var keepsGitDirectory: Bool { op.keepsGitDirectory && op.subdirectory == nil }

    private func key(_ commit: GitCommit) -> CacheKey {
        var encoder = CanonicalEncoder()
        encoder.append("source", "git")
        if keepsGitDirectory {
            // The repository's own files tell where it came from, and what it was called there.
            encoder.append("object", commit.object)
            encoder.append("ref", commit.reference)
            encoder.append("remote", withoutPassword(remote))
        } else {
            encoder.append("commit", commit.commit ?? commit.object)
        }
        encoder.append("subdir", op.subdirectory)
        encoder.append("submodules", op.fetchesSubmodules)
        encoder.append("mtime", op.modificationTime.rawValue)
        return CacheKey(Digest.sha256(encoder.bytes))
    }

    // MARK: Asking

    private func resolved() async throws -> GitCommit {
        try await resolution.value {
            let commit = try await self.resolve()
            self.environment.witness?.resolved(self.info.id, "commit \(commit.commit ?? commit.object)")
            return commit
        }
    }

    private func resolve() async throws -> GitCommit {
        try check()
        if let reference = op.reference, GitCommit.isFull(reference) {
            let commit = GitCommit(object: reference, commit: nil, reference: nil)
            try verify(commit)
            return commit
        }
        let git = try await program()
        let shown = shownURL(remote)
        let name = "[internal] load git metadata for \(shown)" + (op.reference.map { "#\($0)" } ?? "")
        let step = VertexInfo(id: VertexID(Digest.sha256("step \(name)")), name: name)
        let commit = try await SourceAnnouncement(step, environment).working {
            do {
                return try await GitCommit.find(op.reference, in: remote, git)
            } catch let failure as GitProgram.Failure {
                throw unreachable(failure)
            }
        }
        try verify(commit)
        return commit
    }

    /// What the text of a Dockerfile could make git take for an option, or for something else than a repository.
    private func check() throws {
        func invalid(_ what: String, _ text: String) -> BuildOpsError {
            BuildOpsError(.invalidRequest, "invalid git \(what) \"\(text)\"")
        }
        if remote.isEmpty || remote.hasPrefix("-") || remote.contains("\0") { throw invalid("remote", remote) }
        if let reference = op.reference {
            let isOdd = reference.unicodeScalars.contains {
                $0.value <= 0x20 || $0.value == 0x7f || "~^:?*[\\".unicodeScalars.contains($0)
            }
            if reference.isEmpty || reference.hasPrefix("-") || reference.contains("..") || isOdd {
                throw invalid("ref", reference)
            }
        }
        if let checksum = op.checksum, checksum.isEmpty || !checksum.allSatisfy({ $0.isASCII && $0.isHexDigit }) {
            throw BuildOpsError(
                .invalidRequest,
                "invalid checksum \(checksum) for Git URL, expected hex commit hash"
            )
        }
    }

    private func verify(_ commit: GitCommit) throws {
        guard let checksum = op.checksum else { return }
        let candidates = [commit.object, commit.commit].compactMap { $0 }
        guard !candidates.contains(where: { $0.hasPrefix(checksum.lowercased()) }) else { return }
        throw BuildOpsError(
            .conflict,
            "expected checksum to match \(checksum), got \(candidates.joined(separator: " or "))",
            nextStep:
                "the repository holds another commit than --checksum names; if that is right, correct the checksum"
        )
    }

    // MARK: Fetching

    private func make() async throws -> StepValue {
        let commit = try await resolved()
        let key = key(commit)
        if !ignoresCache, let found = try await access.results.find(key) {
            announcement.cached()
            return found
        }
        return try await announcement.working {
            var git = try await program()
            let (events, now, id) = (environment.events, environment.now, info.id)
            git.log = { events.send(.log(id, .standardError, $0, at: now())) }
            let layer: PendingSnapshot
            do {
                let mirror = try await GitMirror.locked(remote, commit: commit.object, in: environment.root)
                var quiet = git
                quiet.log = nil
                try await mirror.fetch(commit.object, reference: commit.reference, quiet)
                // The server's word decided the key and met the checksum; what it sent must keep it.
                try await mirror.verify(commit, quiet)
                layer = try await GitCheckout(self, commit, mirror, git, keepsGitDirectory: keepsGitDirectory).run()
            } catch let failure as GitProgram.Failure {
                throw unreachable(failure)
            }
            let snapshotter = environment.snapshotter
            let snapshot = try await blocking { try snapshotter.publish(layer) }
            let value = StepValue(LayerStack(source: key, [snapshot]))
            try await access.results.record(value, of: info, key: key)
            return value
        }
    }

    func time() async throws -> Int64? {
        let commit = try await resolved()
        let git = try await program()
        do {
            let mirror = try await GitMirror.locked(remote, commit: commit.object, in: environment.root)
            try await mirror.fetch(commit.object, reference: commit.reference, git)
            try await mirror.verify(commit, git)
            return try await mirror.time(of: commit.object, git)
        } catch let failure as GitProgram.Failure {
            throw unreachable(failure)
        }
    }

    private func unreachable(_ failure: GitProgram.Failure) -> BuildOpsError {
        let text = failure.message
        let next: String? =
            if text.contains("could not read Username") || text.contains("Authentication failed") {
                "the repository asks who you are: give a token as the secret GIT_AUTH_TOKEN, or a whole header as "
                    + "GIT_AUTH_HEADER"
            } else if text.contains("Permission denied (publickey") || text.contains("Host key verification") {
                "give an SSH agent with the right key: --ssh default"
            } else if text.contains("repository does not contain ref") {
                "check the branch, tag or commit; without one the default branch is taken"
            } else if text.contains("returned error: 30") {
                "the server redirects, and is not followed there with who asks: use the repository's final address, or "
                    + "leave the secret out"
            } else if text.contains("not found") || text.contains("not exported")
                || text.contains("does not appear to be a git repository")
            {
                "check the address; a private repository needs the secret GIT_AUTH_TOKEN"
            } else if text.contains("cannot run ssh") {
                "ssh was not found in PATH: install an SSH client (on Debian and Ubuntu: apt-get install openssh-client)"
            } else if text.contains("transport '") && text.contains("not allowed") {
                "repositories are fetched through https, http, git and ssh"
            } else {
                nil
            }
        return BuildOpsError(
            .sourceMissing,
            "failed to fetch remote \(shownURL(remote)): \(text.isEmpty ? "git failed" : text)",
            nextStep: next
        )
    }

    // MARK: git itself

    private func program() async throws -> GitProgram {
        let isFile = remote.hasPrefix("file://") || remote.hasPrefix("/")
        let root = environment.root
        let settings = root.temporary.appending(isFile ? "git-files.config" : "git.config")
        try await blocking { try replaceFile(settings, GitProgram.settings(allowingFiles: isFile).utf8, mode: 0o600) }
        var git = try GitProgram(settings: settings, environment: access.environment)
        try await addAuthorization(&git)
        // Submodules may be reached through ssh although the repository is not. Only the build's agent is ever asked:
        // the keys of whoever runs Galley are none of a repository's business.
        let agent = isSSH ? try await environment.agents.agent("default")?.socket.description : nil
        git.set("SSH_AUTH_SOCK", agent)
        // A host's key is taken on trust when it is first seen, and must be the same from then on.
        let known = root.path.appending("git/known_hosts").description
        let users = access.environment["HOME"].map { " \\\"\($0)/.ssh/known_hosts\\\"" } ?? ""
        git.set(
            "GIT_SSH_COMMAND",
            "ssh -F /dev/null -o BatchMode=yes -o IdentityFile=none \(agent == nil ? "-o IdentityAgent=none " : "")"
                + "-o StrictHostKeyChecking=accept-new "
                + "-o UserKnownHostsFile=\"\\\"\(known)\\\"\(users)\""
        )
        try await blocking { try makeDirectories(root.path.appending("git"), mode: 0o700) }
        return git
    }

    private var isSSH: Bool { remote.hasPrefix("ssh://") || !remote.contains("://") }

    /// As BuildKit: for the main remote alone, or for all of github.com when it is there.
    private func addAuthorization(_ git: inout GitProgram) async throws {
        guard remote.hasPrefix("https://") || remote.hasPrefix("http://") else { return }
        guard let header = try await authorization() else { return addUser(&git) }
        let wide = ["https://github.com/", "https://www.github.com/"].first { remote.hasPrefix($0) }
        git.setSecretHeader("Authorization: \(header)", for: wide ?? remote)
    }

    /// What the address itself says of who asks, for the whole server: submodules may be beside the repository.
    private func addUser(_ git: inout GitProgram) {
        guard let userInformation, let address = URLAuthority(remote) else { return }
        var user = urlDecoded(userInformation)
        if !user.utf8.contains(UInt8(ascii: ":")) { user += ":" }
        git.setSecretHeader(
            "Authorization: basic \(base64(Array(user.utf8)))",
            for: "\(address.scheme)\(address.host)/"
        )
    }

    private func authorization() async throws -> String? {
        let host = gitHost(remote)
        for suffix in [".\(host)", ""] {
            if let header = try await environment.secrets.secret("GIT_AUTH_HEADER\(suffix)") {
                return trimmedText(header.exposed)
            }
            if let token = try await environment.secrets.secret("GIT_AUTH_TOKEN\(suffix)") {
                return "basic \(base64(Array("x-access-token:\(trimmedText(token.exposed))".utf8)))"
            }
        }
        return nil
    }
}

/// Host and port of a repository's address.
private func gitHost(_ remote: String) -> String {
    URLAuthority(remote)?.host ?? ""
}

/// RFC 4648, 4.
func base64(_ bytes: [UInt8]) -> String {
    let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var out: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
        let group = bytes[start..<min(start + 3, bytes.count)]
        let bits = group.reduce(0) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - group.count))
        for place in 0..<4 {
            out.append(place <= group.count ? digits[Int(bits >> UInt32(18 - 6 * place) & 63)] : UInt8(ascii: "="))
        }
    }
    return String(decoding: out, as: UTF8.self)
}
