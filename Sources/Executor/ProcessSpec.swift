// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem

/// What a container runs and what it sees, apart from its root file system.
public struct ProcessSpec: Sendable {
    public enum Network: Hashable, Sendable {
        /// The network of the host.
        case host
        /// A network of its own with nothing but the loopback interface.
        case none
    }

    public struct HostEntry: Hashable, Sendable {
        public var name: String
        /// An IPv4 or IPv6 address, or `host-gateway`.
        public var address: String

        public init(name: String, address: String) {
            self.name = name
            self.address = address
        }
    }

    public struct Ulimit: Hashable, Sendable {
        /// As docker names it: `nofile`, `nproc`, ...
        public var name: String
        /// -1 is unlimited.
        public var soft: Int64
        public var hard: Int64

        public init(name: String, soft: Int64, hard: Int64) {
            self.name = name
            self.soft = soft
            self.hard = hard
        }
    }

    /// The program first: a path, or a name that is looked up in the `PATH` of `environment`.
    public var arguments: [String]
    /// `KEY=value`. `HOME` is added from the image's passwd file when it is not there.
    public var environment: [String]
    /// Further variables, which are written to no file on a disk.
    public var secretEnvironment: [SecretVariable] = []
    /// Absolute; made when it does not exist.
    public var workingDirectory: String
    /// `name`, `uid`, `name:group`, ...; empty is root. Names are those of the image's own passwd and group files.
    public var user = ""
    public var network = Network.host
    public var hostname = "buildkitsandbox"
    public var extraHosts: [HostEntry] = []
    public var ulimits: [Ulimit] = []
    /// Bytes of /dev/shm.
    public var sharedMemorySize: Int64 = 64 << 20
    public var mounts: [ExecutorMount] = []
    /// Names like `CAP_CHOWN`. A user that is not root has them only through set-user-id programs.
    public var capabilities = ProcessSpec.defaultCapabilities
    /// All capabilities, no seccomp filter, no masked paths, device files usable.
    public var securityInsecure = false
    /// Gives the process a terminal of its own, connected to the one that `ProcessIO` has.
    public var terminal = false
    public var readOnlyRoot = false

    public init(arguments: [String], environment: [String] = [], workingDirectory: String = "/") {
        self.arguments = arguments
        self.environment = environment
        self.workingDirectory = workingDirectory
    }

    /// What Docker gives a container.
    public static let defaultCapabilities = [
        "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
        "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID",
        "CAP_SYS_CHROOT",
    ]
}

/// A variable whose value is shown nowhere.
public struct SecretVariable: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public let name: String
    /// The secret itself.
    public let exposed: String

    public init(name: String, exposed: String) {
        self.name = name
        self.exposed = exposed
    }

    public var description: String { "\(name)=<redacted>" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// A file system that the process sees at a path.
public struct ExecutorMount: Sendable {
    public enum Source: Sendable {
        /// A file or directory of the host.
        case path(RawPath, recursive: Bool)
        /// The same by descriptor, with all that is mounted below it.
        case descriptor(SharedFD)
        /// A mount that is attached nowhere yet; good for one process.
        case mount(SharedFD)
        /// A file or directory of such a mount; the path has no symlinks.
        case subtree(of: SharedFD, path: RawPath, isDirectory: Bool)
        /// An empty file system in memory; `size` in bytes, nil for the kernel's limit.
        case tmpfs(size: Int64?, mode: UInt32)
    }

    public var source: Source
    /// Absolute path in the container. What is missing of it is made for the time of the run.
    public var target: String
    public var readOnly: Bool
    /// Programs there are not executed, whatever their mode.
    public var forbidsExecution = false

    public init(_ source: Source, target: String, readOnly: Bool = false) {
        self.source = source
        self.target = target
        self.readOnly = readOnly
    }
}
