// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Something that a command sees at a path besides its root file system (`RUN --mount`).
public struct ExecMount: Hashable, Sendable {
    public enum Source: Hashable, Sendable {
        /// A file or directory of another step's tree; what the command changes there is thrown away.
        case bind(input: Int, path: String)
        case cache(CacheMount)
        /// An empty directory in memory; bytes, nil is the kernel's limit.
        case tmpfs(size: Int64?)
        case secret(SecretMount)
        case ssh(SSHMount)
    }

    public var source: Source
    /// Absolute path in the container; nil for a secret that is only a variable.
    public var target: String?
    public var readOnly: Bool

    public init(_ source: Source, target: String?, readOnly: Bool) {
        self.source = source
        self.target = target
        self.readOnly = readOnly
    }

    func encode(into encoder: inout CanonicalEncoder, cacheOnly: Bool) {
        encoder.append("target", target)
        encoder.append("ro", readOnly)
        switch source {
        case .bind(let input, let path):
            encoder.append("type", "bind")
            encoder.append("input", input)
            encoder.append("path", path)
        case .cache(let cache):
            encoder.append("type", "cache")
            if !cacheOnly { cache.encode(into: &encoder) }
        case .tmpfs(let size):
            encoder.append("type", "tmpfs")
            if !cacheOnly { encoder.append("size", size.map(String.init)) }
        case .secret(let secret):
            encoder.append("type", "secret")
            secret.encode(into: &encoder)
        case .ssh(let ssh):
            encoder.append("type", "ssh")
            ssh.encode(into: &encoder)
        }
    }
}

/// A directory that outlives the step and is found again by its id. None of it is part of a step's cache key.
public struct CacheMount: Hashable, Sendable {
    public enum Sharing: String, Hashable, Sendable {
        /// Several commands use it at once.
        case shared
        /// A command that finds it in use gets another directory.
        case `private`
        /// A command that finds it in use waits.
        case locked
    }

    /// With its namespace: `<BUILDKIT_CACHE_MOUNT_NS>/<id>`.
    public var id: String
    public var sharing: Sharing
    /// What a new directory begins with: a path in the tree of an input.
    public var seed: Seed?
    /// Of a new directory.
    public var permissions: UInt32
    public var uid: UInt32
    public var gid: UInt32

    public struct Seed: Hashable, Sendable {
        public var input: Int
        public var path: String

        public init(input: Int, path: String) {
            self.input = input
            self.path = path
        }
    }

    public init(
        id: String,
        sharing: Sharing = .shared,
        seed: Seed? = nil,
        permissions: UInt32 = 0o755,
        uid: UInt32 = 0,
        gid: UInt32 = 0
    ) {
        self.id = id
        self.sharing = sharing
        self.seed = seed
        self.permissions = permissions
        self.uid = uid
        self.gid = gid
    }

    func encode(into encoder: inout CanonicalEncoder) {
        encoder.append("id", id)
        encoder.append("sharing", sharing.rawValue)
        encoder.append("seed", seed.map { "\($0.input) \($0.path)" })
        encoder.append("mode", String(permissions, radix: 8))
        encoder.append("uid", uid)
        encoder.append("gid", gid)
    }
}

/// A secret of the build request, as a file, a variable or both. Its bytes are never part of a key.
public struct SecretMount: Hashable, Sendable {
    public var id: String
    /// Whether the build fails without it; else the mount is left out.
    public var isRequired: Bool
    /// The variable that holds it; the file is made when the mount has a target.
    public var environmentName: String?
    public var permissions: UInt32
    public var uid: UInt32
    public var gid: UInt32

    public init(
        id: String,
        isRequired: Bool = false,
        environmentName: String? = nil,
        permissions: UInt32 = 0o400,
        uid: UInt32 = 0,
        gid: UInt32 = 0
    ) {
        self.id = id
        self.isRequired = isRequired
        self.environmentName = environmentName
        self.permissions = permissions
        self.uid = uid
        self.gid = gid
    }

    func encode(into encoder: inout CanonicalEncoder) {
        encoder.append("id", id)
        encoder.append("required", isRequired)
        encoder.append("env", environmentName)
        encoder.append("mode", String(permissions, radix: 8))
        encoder.append("uid", uid)
        encoder.append("gid", gid)
    }
}

/// The socket of an SSH agent of the build request. `SSH_AUTH_SOCK` names the first one.
public struct SSHMount: Hashable, Sendable {
    public var id: String
    public var isRequired: Bool
    public var permissions: UInt32
    public var uid: UInt32
    public var gid: UInt32

    public init(
        id: String = "default",
        isRequired: Bool = false,
        permissions: UInt32 = 0o600,
        uid: UInt32 = 0,
        gid: UInt32 = 0
    ) {
        self.id = id
        self.isRequired = isRequired
        self.permissions = permissions
        self.uid = uid
        self.gid = gid
    }

    func encode(into encoder: inout CanonicalEncoder) {
        encoder.append("id", id)
        encoder.append("required", isRequired)
        encoder.append("mode", String(permissions, radix: 8))
        encoder.append("uid", uid)
        encoder.append("gid", gid)
    }
}
