// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem

/// A socket that a command talks to an SSH agent through.
///
/// The agent's own socket belongs to somebody else than the command's user, and an agent may be told to forget its keys:
/// the proxy has an owner of its own and passes on only the requests that list keys and sign.
final class AgentProxy: Sendable {
    let socket: RawPath
    private let agent: SSHAgentAddress
    private let listener: SharedFD
    private let accept: @Sendable (CInt) throws(SystemError) -> OwnedFD
    private let patience: Duration
    private let connections = Monitor(Connections())

    private struct Connections: Sendable {
        /// Those that were accepted and are not served to the end.
        var count = 0
        var sockets: [ObjectIdentifier: SharedFD] = [:]
        var isStopped = false
    }

    /// More connections wait until one of these ends.
    static let limit = 64
    /// One thread accepts, and each connection has one or two.
    private static let threads = BlockingPool(limit: 4096)

    /// - Parameters:
    ///   - directory: gets the socket; nobody else writes to it.
    ///   - patience: how long a connection waits for a place with the agent.
    init(
        _ agent: SSHAgentAddress,
        in directory: RawPath,
        permissions: UInt32,
        owner: (uid: UInt32, gid: UInt32),
        patience: Duration = .seconds(10),
        accept: @escaping @Sendable (CInt) throws(SystemError) -> OwnedFD = acceptUnixSocket
    ) throws {
        self.agent = agent
        self.patience = patience
        self.accept = accept
        socket = directory.appending("agent")
        let handle = try open(directory, [.directory])
        listener = try listenUnixSocket(at: handle.raw, "agent").shared()
        try setOwner(at: handle.raw, "agent", uid: owner.uid, gid: owner.gid)
        try setPermissions(at: handle.raw, "agent", permissions & 0o777)
    }

    /// Answers until `stop` is called.
    func start() {
        Task.detached { [self] in
            try? await Self.threads.run { [self] in
                while takePlace(), let client = next() {
                    Task.detached {
                        await self.serve(client)
                        self.connections.withLock { $0.count -= 1 }
                    }
                }
            }
        }
    }

    /// Waits until one more connection may be taken; false when the proxy was stopped.
    private func takePlace() -> Bool {
        connections.wait { state in
            if state.isStopped { return false }
            guard state.count < Self.limit else { return nil }
            state.count += 1
            return true
        }
    }

    /// The next client; nil when the proxy was stopped.
    private func next() -> SharedFD? {
        while true {
            do throws(SystemError) {
                return try accept(listener.raw).shared()
            } catch {
                // Others may give back what this process or the system has too little of now.
                guard [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errno), !isStopped else { return nil }
                waitForShutDown(listener.raw, milliseconds: 100)
            }
        }
    }

    private var isStopped: Bool { connections.withLock { $0.isStopped } }

    /// Ends all connections and takes no more.
    func stop() {
        shutDownSocket(listener.raw)
        connections.withLock { state in
            state.isStopped = true
            for socket in state.sockets.values { shutDownSocket(socket.raw) }
        }
    }

    /// False when the proxy was stopped already.
    private func add(_ socket: SharedFD) -> Bool {
        connections.withLock { state in
            if !state.isStopped { state.sockets[ObjectIdentifier(socket)] = socket }
            return !state.isStopped
        }
    }

    private func remove(_ socket: SharedFD) {
        connections.withLock { $0.sockets[ObjectIdentifier(socket)] = nil }
    }

    private func serve(_ client: SharedFD) async {
        guard add(client) else { return }
        defer { remove(client) }
        // An agent that cannot be reached looks like one that hangs up.
        guard let server = try? await Self.threads.run({ try self.connect() }), add(server) else { return }
        defer { remove(server) }
        if agent.isRaw {
            async let answers: Void = Self.copy(server, client)
            await Self.copy(client, server)
            await answers
        } else {
            try? await Self.threads.run { try Self.relay(client, server) }
        }
    }

    private func connect() throws -> SharedFD {
        try connectUnixSocket(agent.socket, timeout: patience) { !isStopped }.shared()
    }

    private static func copy(_ source: SharedFD, _ target: SharedFD) async {
        try? await threads.run {
            defer { shutDownSocketWriting(target.raw) }
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 32 << 10, alignment: 16)
            defer { buffer.deallocate() }
            while true {
                let count = try readBytes(source.raw, into: buffer)
                if count == 0 { return }
                try writeBytes(target.raw, UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
        }
    }

    // MARK: The agent's protocol (draft-miller-ssh-agent)

    private enum Message {
        static let failure: [UInt8] = [0, 0, 0, 1, 5]
        static let requestIdentities: UInt8 = 11
        static let signRequest: UInt8 = 13
        /// As in OpenSSH.
        static let longest = 256 << 10
    }

    /// Requests one by one, each with its answer.
    private static func relay(_ client: SharedFD, _ server: SharedFD) throws {
        while let request = try message(client) {
            guard let type = request.dropFirst(4).first,
                type == Message.requestIdentities || type == Message.signRequest
            else {
                try writeBytes(client.raw, Message.failure)
                continue
            }
            try writeBytes(server.raw, request)
            guard let answer = try message(server) else { return shutDownSocket(client.raw) }
            try writeBytes(client.raw, answer)
        }
    }

    /// With its four bytes of length; nil at the end.
    private static func message(_ socket: SharedFD) throws -> [UInt8]? {
        guard let head = try bytes(socket, 4) else { return nil }
        let length = head.reduce(0) { $0 << 8 | Int($1) }
        guard length > 0, length <= Message.longest, let body = try bytes(socket, length) else { return nil }
        return head + body
    }

    private static func bytes(_ socket: SharedFD, _ count: Int) throws -> [UInt8]? {
        var result: [UInt8] = []
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        defer { buffer.deallocate() }
        while result.count < count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[result.count...])
            let read = try readBytes(socket.raw, into: rest)
            if read == 0 { return nil }
            result += rest[..<read]
        }
        return result
    }
}
