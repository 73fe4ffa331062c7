// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem
import Synchronization

/// A socket that a command talks to an SSH agent through.
///
/// The agent's own socket belongs to somebody else than the command's user, and an agent may be told to forget its keys:
/// the proxy has an owner of its own and passes on only the requests that list keys and sign.
final class AgentProxy: Sendable {
    let socket: RawPath
    private let agent: SSHAgentAddress
    private let listener: SharedFD
    private let connections = Mutex<(open: [ObjectIdentifier: SharedFD], isStopped: Bool)>(([:], false))

    /// One thread accepts, and each connection has one or two.
    private static let threads = BlockingPool(limit: 4096)

    /// - Parameter directory: gets the socket; nobody else writes to it.
    init(
        _ agent: SSHAgentAddress,
        in directory: RawPath,
        permissions: UInt32,
        owner: (uid: UInt32, gid: UInt32)
    ) throws {
        self.agent = agent
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
                while let client = try? acceptUnixSocket(listener.raw).shared() {
                    Task.detached { await self.serve(client) }
                }
            }
        }
    }

    /// Ends all connections and takes no more.
    func stop() {
        shutDownSocket(listener.raw)
        connections.withLock { state in
            state.isStopped = true
            for socket in state.open.values { shutDownSocket(socket.raw) }
        }
    }

    /// False when the proxy was stopped already.
    private func add(_ socket: SharedFD) -> Bool {
        connections.withLock { state in
            if !state.isStopped { state.open[ObjectIdentifier(socket)] = socket }
            return !state.isStopped
        }
    }

    private func remove(_ socket: SharedFD) {
        connections.withLock { $0.open[ObjectIdentifier(socket)] = nil }
    }

    private func serve(_ client: SharedFD) async {
        // An agent that cannot be reached looks like one that hangs up.
        guard let server = try? await blocking({ [agent] in try connectUnixSocket(agent.socket).shared() }),
            add(client), add(server)
        else { return }
        defer {
            remove(client)
            remove(server)
        }
        if agent.isRaw {
            async let answers: Void = Self.copy(server, client)
            await Self.copy(client, server)
            await answers
        } else {
            try? await Self.threads.run { try Self.relay(client, server) }
        }
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
