// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileSyntax
import OCI

/// What COPY and ADD have in common.
struct FileTransfer {
    let isAdd: Bool
    let sources: [CopySource]
    let destination: Word
    let chown: Word?
    let chmod: Word?
    /// The layer is made without what is below it.
    let isLinked: Bool
    let keepsParents: Bool
    let excludes: [Word]
    let checksum: Word?
    let keepsGitDirectory: Bool?
    /// Nil when the flag is absent.
    let unpacks: Bool?

    init(_ copy: CopyInstruction) {
        isAdd = false
        sources = copy.sources
        destination = copy.destination
        chown = copy.chown
        chmod = copy.chmod
        isLinked = copy.link
        keepsParents = copy.parents
        excludes = copy.excludes
        checksum = nil
        keepsGitDirectory = nil
        unpacks = nil
    }

    init(_ add: AddInstruction) {
        isAdd = true
        sources = add.sources
        destination = add.destination
        chown = add.chown
        chmod = add.chmod
        isLinked = add.link
        keepsParents = false
        excludes = add.excludes
        checksum = add.checksum
        keepsGitDirectory = add.keepGitDir
        unpacks = add.unpack
    }

    /// The value of `--chmod`.
    static func permissions(_ text: String, at range: SourceRange?) throws(LoweringFailure) -> FilePermissions {
        if let permissions = FilePermissions(parsing: text) { return permissions }
        throw LoweringFailure(
            "invalid chmod parameter: '\(text)'. it should be octal string and between 0 and 07777",
            range
        )
    }

    /// What is wrong with `--checksum`, whatever its value, for these sources.
    func checkChecksum(_ sources: [CopyLocation]) throws(LoweringFailure) {
        guard sources.count == 1, let source = sources.first else {
            throw LoweringFailure("checksum can't be specified for multiple sources", checksum?.range)
        }
        if case .path = source {
            throw LoweringFailure("checksum requires HTTP(S) or Git sources", checksum?.range)
        }
    }

    /// The source, variables replaced.
    func location(_ source: String, at range: SourceRange) throws(LoweringFailure) -> CopyLocation {
        let location: CopyLocation
        do throws(GitReferenceError) {
            location = try CopyLocation(source)
        } catch {
            throw LoweringFailure(error.message, range)
        }
        if !isAdd {
            let next = "ADD takes it."
            if case .git = location {
                throw LoweringFailure("source can't be a git ref for COPY", range, nextStep: next)
            }
            if case .web = location { throw LoweringFailure("source can't be a URL for COPY", range, nextStep: next) }
        }
        return location
    }

    func gitOp(_ reference: GitReference, checksum: String) throws(LoweringFailure) -> GitOp {
        if let own = reference.keepsGitDirectory, let flag = keepsGitDirectory, own != flag {
            throw LoweringFailure("inconsistent keep-git-dir configuration")
        }
        if let own = reference.checksum, !checksum.isEmpty, own != checksum {
            throw LoweringFailure("checksum mismatch \"\(checksum)\" != \"\(own)\"", self.checksum?.range)
        }
        var reference = reference
        reference.keepsGitDirectory = reference.keepsGitDirectory ?? keepsGitDirectory
        if reference.checksum == nil, !checksum.isEmpty { reference.checksum = checksum }
        return GitOp(reference)
    }
}

extension [CopySource] {
    /// The sources that are no heredocs.
    var paths: [Word] { compactMap { if case .path(let word) = $0 { word } else { nil } } }
}

/// Where a source of COPY or ADD is.
enum CopyLocation {
    /// In the tree that is copied from.
    case path(String)
    case git(GitReference)
    case web(String)

    init(_ source: String) throws(GitReferenceError) {
        let git = try GitReference(parsing: source)
        if let git, !git.looksLikePath {
            self = .git(git)
        } else if source.hasPrefix("http://") || source.hasPrefix("https://") {
            self = .web(source)
        } else {
            self = .path(source)
        }
    }
}

extension GitOp {
    /// A commit that is fetched as such stands for the reference, which only names it.
    init(_ git: GitReference) {
        self.init(
            remote: git.remote,
            reference: git.fetchesByCommit ? git.checksum ?? git.reference : git.reference,
            checksum: git.checksum,
            subdirectory: git.subdirectory,
            keepsGitDirectory: git.keepsGitDirectory ?? false,
            fetchesSubmodules: git.fetchesSubmodules ?? true,
            modificationTime: git.modificationTime == .commit ? .commit : .checkout
        )
    }
}

extension HTTPOp {
    /// The file of an ADD.
    ///
    /// - Parameter checksum: empty when none is asked for.
    init(adding url: String, checksum: String) throws(LoweringFailure) {
        var digest: Digest?
        if !checksum.isEmpty { digest = try Self.digest(checksum) }
        self.init(url: url, checksum: digest, fileName: Self.fileName(of: url))
    }

    /// The last component of the URL's path.
    static func fileName(of url: String) -> String { WebAddress.lastComponent(of: url) ?? "__unnamed__" }

    private static func digest(_ text: String) throws(LoweringFailure) -> Digest {
        let parts = text.utf8.split(separator: UInt8(ascii: ":"), maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
            throw LoweringFailure("invalid checksum digest format")
        }
        guard let algorithm = Digest.Algorithm(rawValue: String(Substring(parts[0]))) else {
            throw LoweringFailure("unsupported digest algorithm")
        }
        guard parts[1].count == algorithm.hexLength else { throw LoweringFailure("invalid checksum digest length") }
        guard let digest = try? Digest(text) else { throw LoweringFailure("invalid checksum digest format") }
        return digest
    }
}
