// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import OCI

/// A checkout of a git repository. No inputs. The key is the commit that the reference stands for, which asks the
/// repository.
public struct GitOp: Hashable, Sendable {
    /// The time that files get.
    public enum ModificationTime: String, Hashable, Sendable {
        /// When they are checked out.
        case checkout
        /// Of the commit.
        case commit
    }

    /// A URL or `user@host:path`, as git takes it, without user information that is secret.
    public var remote: String
    /// A branch, a tag, a full reference or a commit; nil is the repository's default branch.
    public var reference: String?
    /// The commit must begin with these hexadecimal digits.
    public var checksum: String?
    /// Of the repository: only what is below it is the tree; nil is all.
    public var subdirectory: String?
    public var keepsGitDirectory: Bool
    public var fetchesSubmodules: Bool
    public var modificationTime: ModificationTime

    public init(
        remote: String,
        reference: String? = nil,
        checksum: String? = nil,
        subdirectory: String? = nil,
        keepsGitDirectory: Bool = false,
        fetchesSubmodules: Bool = true,
        modificationTime: ModificationTime = .checkout
    ) {
        self.remote = remote
        self.reference = reference
        self.checksum = checksum
        self.subdirectory = subdirectory
        self.keepsGitDirectory = keepsGitDirectory
        self.fetchesSubmodules = fetchesSubmodules
        self.modificationTime = modificationTime
    }

    func encode(into encoder: inout CanonicalEncoder) {
        encoder.append("remote", remote)
        encoder.append("ref", reference)
        encoder.append("checksum", checksum)
        encoder.append("subdir", subdirectory)
        encoder.append("gitdir", keepsGitDirectory)
        encoder.append("submodules", fetchesSubmodules)
        encoder.append("mtime", modificationTime.rawValue)
    }
}

/// A file from a web server: a tree that holds it alone. No inputs. The key is the content, which asks the server.
public struct HTTPOp: Hashable, Sendable {
    /// `http` or `https`.
    public var url: String
    /// What the content must have as digest.
    public var checksum: Digest?
    /// The file's name in the tree; nil takes it from the URL's path.
    public var fileName: String?
    public var permissions: UInt32

    public init(url: String, checksum: Digest? = nil, fileName: String? = nil, permissions: UInt32 = 0o600) {
        self.url = url
        self.checksum = checksum
        self.fileName = fileName
        self.permissions = permissions
    }

    func encode(into encoder: inout CanonicalEncoder) {
        encoder.append("url", url)
        encoder.append("checksum", checksum?.description)
        encoder.append("name", fileName)
        encoder.append("permissions", String(permissions, radix: 8))
    }
}

/// The layers of its inputs, one above the other: the first is the lowest (`COPY --link`).
public struct MergeOp: Hashable, Sendable {
    public init() {}
}
