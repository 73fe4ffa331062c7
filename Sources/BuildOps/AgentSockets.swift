// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
public import LinuxSystem

/// Where an SSH agent listens.
public struct SSHAgentAddress: Sendable {
    public var socket: RawPath
    /// Everything is passed on, whatever protocol it is.
    public var isRaw: Bool

    public init(socket: RawPath, isRaw: Bool = false) {
        self.socket = socket
        self.isRaw = isRaw
    }
}

/// The SSH agents of a build request.
public protocol SSHAgents: Sendable {
    /// Nil when the request has none of this name.
    func agent(_ id: String) async throws -> SSHAgentAddress?
}

/// What `--ssh` names.
public struct AgentSource: Sendable {
    public var id: String
    /// One socket, or files with private keys.
    public var paths: [RawPath]
    public var isRaw: Bool

    public init(id: String, paths: [RawPath], isRaw: Bool = false) {
        self.id = id
        self.paths = paths
        self.isRaw = isRaw
    }
}

/// Agents that run already, and an `ssh-agent` of its own for each source that names keys.
public actor AgentSockets: SSHAgents {
    private enum State {
        case socket(SSHAgentAddress)
        case keys([RawPath], OnceTask<SSHAgentAddress>)
    }

    private var states: [String: State] = [:]
    private var agents: [Sandbox] = []
    private var isClosed = false
    private let directory: RawPath
    private let searchPath: [String]

    /// - Parameters:
    ///   - directory: gets the sockets of agents that are started; made when needed.
    ///   - searchPath: where `ssh-agent` and `ssh-add` are.
    /// - Throws: `BuildOpsError` when a path is missing or the sources cannot be put together.
    public init(_ sources: [AgentSource], directory: RawPath, searchPath: [String]) throws {
        self.directory = directory
        self.searchPath = searchPath + ["/usr/local/bin", "/usr/bin", "/bin"]
        for source in sources {
            guard states[source.id] == nil else {
                throw BuildOpsError(.invalidRequest, "duplicate agent ID \"\(source.id)\"")
            }
            states[source.id] = try Self.state(source)
        }
    }

    private static func state(_ source: AgentSource) throws -> State {
        var sockets: [RawPath] = []
        for path in source.paths {
            do throws(SystemError) {
                if try status(at: workingDirectory, path, following: true).kind == .socket { sockets.append(path) }
            } catch {
                throw BuildOpsError(
                    .invalidRequest,
                    "--ssh \(source.id): \(path): \(error.reason)",
                    nextStep: "name the socket of a running ssh-agent, or private keys: --ssh \(source.id)=PATH"
                )
            }
        }
        guard let socket = sockets.first else {
            guard !source.isRaw else {
                throw BuildOpsError(
                    .invalidRequest,
                    "raw mode must supply exactly one socket path for \"\(source.id)\""
                )
            }
            return .keys(source.paths, OnceTask())
        }
        guard source.paths.count == 1 else {
            let message = sockets.count > 1 ? "only single socket allowed" : "invalid combination of keys and sockets"
            throw BuildOpsError(.invalidRequest, "--ssh \(source.id): \(message)")
        }
        return .socket(SSHAgentAddress(socket: socket, isRaw: source.isRaw))
    }

    public func agent(_ id: String) async throws -> SSHAgentAddress? {
        switch states[id] {
        case nil: return nil
        case .socket(let address): return address
        case .keys(let keys, let task):
            let number = states.keys.sorted().firstIndex(of: id) ?? 0
            // Nothing tells whose work is done when several ask at once.
            return try await task.value { try await self.start("agent-\(number)", keys, id) }
        }
    }

    /// Ends the agents that were started.
    public func close() async {
        isClosed = true
        let ended = agents
        agents = []
        for agent in ended { agent.kill() }
        for agent in ended { _ = try? await agent.wait() }
    }

    // MARK: An agent for keys

    private func start(_ name: String, _ keys: [RawPath], _ id: String) async throws -> SSHAgentAddress {
        let agent = try program("ssh-agent", id)
        let add = try program("ssh-add", id)
        let directory = directory
        let socket = directory.appending(name)
        // sockaddr_un has room for 107 bytes.
        guard socket.bytes.count < 100 else {
            throw BuildOpsError(
                .invalidRequest,
                "--ssh \(id): the path of an agent's socket would be too long: \(socket)",
                nextStep: "start an agent yourself and give its socket: --ssh \(id)=$SSH_AUTH_SOCK"
            )
        }
        try await blocking { try makeDirectories(directory, mode: 0o700) }
        guard try await listens([agent, "-D", "-a", socket.description]) else {
            throw BuildOpsError(.invalidRequest, "--ssh \(id): \(agent) ended at once")
        }
        for key in keys {
            let (name, input) = try await argument(key, id)
            let adding = try await spawn(
                [add, "-q", name],
                ["SSH_AUTH_SOCK": socket.description],
                input: input,
                output: nil
            )
            // What it does cannot be told: the path may be anything by now.
            let end = try await withTaskCancellationHandler {
                try await adding.wait()
            } onCancel: {
                adding.kill()
            }
            try Task.checkCancellation()
            if case .ended(program: .exited(0), process: _) = end { continue }
            throw BuildOpsError(
                .invalidRequest,
                "--ssh \(id): ssh-add cannot add \(key)",
                nextStep:
                    "it must be a private key without a passphrase that only you can read (chmod 600); for others, "
                    + "add it to an agent yourself and give --ssh \(id)=$SSH_AUTH_SOCK"
            )
        }
        return SSHAgentAddress(socket: socket)
    }

    /// Starts an agent; false when it ended without listening.
    private func listens(_ arguments: [String]) async throws -> Bool {
        let output = try await startAgent(arguments)
        // It tells its address as soon as it listens.
        return try await cancellableBlocking { cancellation in
            try waitForBytes(output.raw, cancellation)
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
            defer { buffer.deallocate() }
            return try readBytes(output.raw, into: buffer) > 0
        }
    }

    /// - Returns: what it prints. The other end is the agent's alone.
    private func startAgent(_ arguments: [String]) async throws -> SharedFD {
        let (output, end) = try makePipe()
        let agent = try await spawn(arguments, [:], input: nil, output: end)
        agents.append(agent)
        if isClosed {
            await close()
            throw CancellationError()
        }
        return output
    }

    /// How `ssh-add` gets a key: by its path, or through its input what can be read only here and only once.
    private func argument(_ key: RawPath, _ id: String) async throws -> (name: String, input: SharedFD?) {
        if try status(at: workingDirectory, key, following: true).kind == .regular { return (absolute(key), nil) }
        do {
            let input = try await cancellableBlocking { cancellation in
                let bytes = try readFile(key, limit: Self.longestKey, cancellation)
                let file = try memoryFile("ssh-key")
                try writeBytes(file.raw, bytes)
                return try open(RawPath("/proc/self/fd/\(file.raw)"), .readOnly).shared()
            }
            return ("-", input)
        } catch let error as SystemError {
            throw BuildOpsError(
                .invalidRequest,
                "--ssh \(id): failed to read \(key): \(error.reason)",
                nextStep: "name a private key, or the socket of a running ssh-agent: --ssh \(id)=PATH"
            )
        }
    }

    /// As in BuildKit.
    private static let longestKey = 100 << 10

    private func absolute(_ path: RawPath) -> String {
        if path.bytes.first == UInt8(ascii: "/") { return path.description }
        return ((try? readLink("/proc/self/cwd")) ?? "/").appending(path).description
    }

    private func program(_ name: String, _ id: String) throws -> String {
        for directory in searchPath where directory.hasPrefix("/") {
            let path = directory + "/" + name
            guard let status = try? status(at: workingDirectory, RawPath(path), following: true) else { continue }
            if status.kind == .regular, status.permissions & 0o111 != 0 { return path }
        }
        throw BuildOpsError(
            .invalidRequest,
            "--ssh \(id): \(name) is needed to use private keys, and it is not installed",
            nextStep: "apt-get install openssh-client, or give the socket of an agent: --ssh \(id)=$SSH_AUTH_SOCK"
        )
    }

    private func spawn(
        _ arguments: [String],
        _ environment: [String: String],
        input: SharedFD?,
        output: SharedFD?
    ) async throws -> Sandbox {
        let null = try open("/dev/null", [.readWrite]).shared()
        let spec = SandboxSpec(
            arguments: arguments,
            environment: environment.map { "\($0.key)=\($0.value)" },
            standardInput: input ?? null,
            standardOutput: output ?? null,
            standardError: null
        )
        return try await Sandbox.spawn(spec)
    }
}
