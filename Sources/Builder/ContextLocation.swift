// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import BuildOps
import DockerfileSyntax
import LinuxSystem
import OCI

/// Where a build context is, as users name it: a directory of this machine, a git repository, a file on the web.
enum ContextLocation {
    /// An absolute path.
    case directory(String)
    case git(GitReference)
    case web(String)

    /// What is a directory here is never taken for anything else.
    ///
    /// - Parameter what: how an error begins.
    init(_ text: String, what: String) throws {
        if let directory = try Self.directory(text, what: what) {
            self = .directory(directory)
            return
        }
        let reference: GitReference?
        do {
            reference = try GitReference(parsing: text)
        } catch {
            throw BuilderError(
                .invalidRequest,
                "\(what): \(shownURL(text)): \(error)",
                nextStep: "name what is wanted of a repository as #ref:directory, or as ?ref=...&subdir=..."
            )
        }
        if let reference {
            self = .git(reference)
        } else if Self.isWebAddress(text) {
            self = .web(text)
        } else {
            throw Self.missing(text, what)
        }
    }

    static func isWebAddress(_ text: String) -> Bool {
        let start = text.prefix(8).lowercased()
        return start.hasPrefix("http://") || start.hasPrefix("https://")
    }

    private static func directory(_ text: String, what: String) throws -> String? {
        let path = try absolutePath(text)
        let found: FileStatus?
        do throws(SystemError) {
            found = try statusIfPresent(at: workingDirectory, RawPath(path), following: true)
        } catch {
            throw BuilderError(.notFound, "\(what): path \"\(text)\": \(error.reason)")
        }
        guard let found else { return nil }
        guard found.kind == .directory else {
            throw BuilderError(
                .notFound,
                "\(what): \"\(text)\" is not a directory",
                nextStep: "the context is a directory; name the Dockerfile with -f"
            )
        }
        return path
    }

    private static func missing(_ text: String, _ what: String) -> BuilderError {
        if text.contains("://") {
            return BuilderError(
                .notFound,
                "\(what): \"\(shownURL(text))\" is no address of a build context",
                nextStep:
                    "use a directory, a git repository (https://host/name.git, ssh://, git@host:name) or an http(s) "
                    + "address of a tar archive"
            )
        }
        return BuilderError(
            .notFound,
            "\(what): path \"\(text)\" not found",
            nextStep: "give the directory that holds the Dockerfile and what it copies, often just \".\""
        )
    }
}

extension GitOp {
    /// - Parameters:
    ///   - keepsGitDirectory: besides what the reference says.
    ///   - usesCommitTime: whatever the reference says.
    init(_ reference: GitReference, keepsGitDirectory: Bool = false, usesCommitTime: Bool = false) {
        self.init(
            remote: reference.remote,
            // The remote need not be asked what a name means when the commit is given and to be trusted.
            reference: reference.fetchesByCommit ? reference.checksum ?? reference.reference : reference.reference,
            checksum: reference.checksum,
            subdirectory: reference.subdirectory,
            keepsGitDirectory: keepsGitDirectory || reference.keepsGitDirectory ?? false,
            fetchesSubmodules: reference.fetchesSubmodules ?? true,
            modificationTime: usesCommitTime || reference.modificationTime == .commit ? .commit : .checkout
        )
    }
}
