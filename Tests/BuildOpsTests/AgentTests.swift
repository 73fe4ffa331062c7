// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Content
import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Synchronization
import Testing

@testable import BuildOps

/// SSH agents, with the real programs.
@Suite(.enabled(if: TestInstallation.hasProgram("ssh-agent") && TestInstallation.hasProgram("ssh-keygen")))
struct AgentTests {
    private let directory: ScratchDirectory

    init() async throws {
        directory = try ScratchDirectory()
        try await runScript(
            "ssh-keygen -q -t ed25519 -N '' -C one -f one; ssh-keygen -q -t ed25519 -N '' -C two -f two; "
                + "ssh-keygen -q -t ed25519 -N secret -C three -f locked; echo no key > text; chmod 600 text",
            directory: directory.path
        )
    }

    private func agents(_ keys: [String], id: String = "default") throws -> AgentSockets {
        try AgentSockets(
            [AgentSource(id: id, paths: keys.map(directory.file))],
            directory: directory.file("agents"),
            searchPath: ["/usr/bin"]
        )
    }

    private func list(_ socket: RawPath) async throws -> String {
        try await runScript("SSH_AUTH_SOCK='\(socket)' ssh-add -l | cut -d ' ' -f 3 | sort | tr '\\n' ' '")
    }

    @Test func keysGetAnAgentThatEndsWithTheBuild() async throws {
        let agents = try agents(["one", "two"])
        let address = try #require(try await agents.agent("default"))
        #expect(try await list(address.socket) == "one two ")
        #expect(try await agents.agent("default")?.socket == address.socket)
        #expect(try await agents.agent("other") == nil)
        await agents.close()
        #expect(try await runScript("SSH_AUTH_SOCK='\(address.socket)' ssh-add -l >/dev/null 2>&1 || echo $?") == "2\n")
    }

    @Test(arguments: ["locked", "text"]) func unusableKeys(key: String) async throws {
        let agents = try agents([key])
        let error = await #expect(throws: BuildOpsError.self) { try await agents.agent("default") }
        #expect(error?.message.hasSuffix("ssh-add cannot add \(directory.file(key))") == true)
        await agents.close()
    }

    @Test func twoThatAskAtOnceGetTheSameAnswer() async throws {
        // A path that is too long ends the start before any program runs.
        let long = directory.file(String(repeating: "x", count: 100))
        for _ in 0..<300 {
            let source = AgentSource(id: "x", paths: [directory.file("one")])
            let agents = try AgentSockets([source], directory: long, searchPath: ["/usr/bin"])
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask { await #expect(throws: BuildOpsError.self) { try await agents.agent("x") } }
                }
            }
        }
    }

    /// Process substitution gives pipes, which only this process can read, and only once.
    @Test func keysOfPipes() async throws {
        let key = try filledPipe(try readFile(directory.file("one")))
        let source = AgentSource(id: "x", paths: [RawPath("/dev/fd/\(key.raw)"), directory.file("two")])
        let agents = try AgentSockets([source], directory: directory.file("agents"), searchPath: ["/usr/bin"])
        let socket = try #require(try await agents.agent("x")?.socket)
        #expect(try await list(socket) == "one two ")
        await agents.close()
        withExtendedLifetime(key) {}
    }

    @Test(
        "waiting for a key, for ssh-agent and for ssh-add ends with the build",
        .endsHangs,
        arguments: ["key", "ssh-agent", "ssh-add"]
    )
    func endlessWaiting(what: String) async throws {
        try directory.shell("mkdir bin; mkfifo started key")
        if what != "key" {
            let standIn = "#!/bin/sh\\necho > \(directory.file("started"))\\nexec sleep 1000\\n"
            try directory.shell("printf '\(standIn)' > bin/\(what); chmod +x bin/\(what); rm key; cp one key")
        }
        let agents = try AgentSockets(
            [AgentSource(id: "x", paths: [directory.file("key")])],
            directory: directory.file("agents"),
            searchPath: [directory.file("bin").description]
        )
        let task = Task { try await agents.agent("x") }
        // Opening waits for the other side, which waits for more than this.
        let end = try await blocking { [directory] in
            if what == "key" { return try open(directory.file("key"), [.writeOnly]).shared() }
            return try open(directory.file("started"), [.readOnly]).shared()
        }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        await agents.close()
        withExtendedLifetime(end) {}
    }

    @Test("an ssh-agent that ends at once", .endsHangs) func endedAgent() async throws {
        try directory.shell("mkdir bin; printf '#!/bin/sh\nexit 1' > bin/ssh-agent; chmod +x bin/ssh-agent")
        let agents = try AgentSockets(
            [AgentSource(id: "x", paths: [directory.file("one")])],
            directory: directory.file("agents"),
            searchPath: [directory.file("bin").description]
        )
        let error = await #expect(throws: BuildOpsError.self) { try await agents.agent("x") }
        #expect(error?.message.hasSuffix("/ssh-agent ended at once") == true)
        await agents.close()
    }

    @Test func unusableSources() throws {
        #expect(throws: BuildOpsError.self) { try agents(["none"]) }
        let socket = try open(directory.path, [.directory])
        let listener = try listenUnixSocket(at: socket.raw, "socket").shared()
        defer { withExtendedLifetime(listener) {} }
        _ = try agents(["socket"])
        #expect(throws: BuildOpsError.self) { try agents(["socket", "one"]) }
        #expect(throws: BuildOpsError.self) { try agents(["socket", "socket"]) }
        let raw = AgentSource(id: "x", paths: [directory.file("one")], isRaw: true)
        #expect(throws: BuildOpsError.self) { try AgentSockets([raw], directory: "/x", searchPath: []) }
        let twice = [AgentSource(id: "x", paths: []), AgentSource(id: "x", paths: [])]
        #expect(throws: BuildOpsError.self) { try AgentSockets(twice, directory: "/x", searchPath: []) }
    }

    @Test("a proxy lists and signs, and refuses everything else")
    func proxy() async throws {
        let agents = try agents(["one"])
        let address = try #require(try await agents.agent("default"))
        let place = directory.file("proxy")
        try makeDirectory(place)
        let proxy = try AgentProxy(address, in: place, permissions: 0o640, owner: (0, 12))
        proxy.start()
        #expect(try await list(proxy.socket) == "one ")
        let status = try status(at: workingDirectory, proxy.socket)
        #expect((status.permissions, status.uid, status.gid) == (0o640, 0, 12))
        let script = """
            export SSH_AUTH_SOCK='\(proxy.socket)'
            echo text | ssh-keygen -q -Y sign -f one.pub -n test 2>/dev/null | head -1
            ssh-add -D >/dev/null 2>&1 || echo refused
            ssh-add two >/dev/null 2>&1 || echo refused
            """
        #expect(
            try await runScript(script, directory: directory.path)
                == "-----BEGIN SSH SIGNATURE-----\nrefused\nrefused\n"
        )
        #expect(try await list(proxy.socket) == "one ")
        proxy.stop()
        #expect(try await runScript("SSH_AUTH_SOCK='\(proxy.socket)' ssh-add -l >/dev/null 2>&1 || echo $?") == "2\n")
        await agents.close()
    }

    @Test(
        "hostile requests end the connection or are refused",
        arguments: [
            [0xff, 0xff, 0xff, 0xff, 11], [0, 0, 0, 0], [0, 0, 0, 1],
        ] as [[UInt8]]
    )
    func hostile(bytes: [UInt8]) async throws {
        let agents = try agents(["one"])
        let address = try #require(try await agents.agent("default"))
        let place = directory.file("proxy")
        try makeDirectory(place)
        let proxy = try AgentProxy(address, in: place, permissions: 0o600, owner: (0, 0))
        proxy.start()
        let answer = try await blocking {
            let client = try connectUnixSocket(proxy.socket)
            try writeBytes(client.raw, bytes)
            shutDownSocketWriting(client.raw)
            // A connection that ends with unread bytes may also be told as reset.
            return (try? readAll(client.raw)) ?? []
        }
        #expect(answer == [])
        #expect(try await list(proxy.socket) == "one ")
        proxy.stop()
        await agents.close()
    }

    // MARK: Many connections

    /// A socket that takes connections only as a test wants it.
    private func listener() throws -> (socket: RawPath, fd: SharedFD) {
        let handle = try open(directory.path, [.directory])
        return (directory.file("listener"), try listenUnixSocket(at: handle.raw, "listener").shared())
    }

    private func proxy(
        _ socket: RawPath,
        patience: Duration = .seconds(3600),
        accept: @escaping @Sendable (CInt) throws(SystemError) -> OwnedFD = acceptUnixSocket
    ) throws -> AgentProxy {
        let place = directory.file("proxy")
        try makeDirectory(place)
        let address = SSHAgentAddress(socket: socket, isRaw: true)
        let proxy = try AgentProxy(
            address,
            in: place,
            permissions: 0o600,
            owner: (0, 0),
            patience: patience,
            accept: accept
        )
        proxy.start()
        return proxy
    }

    private func isReadable(_ fd: SharedFD, within milliseconds: CInt) -> Bool {
        var request = pollfd(fd: fd.raw, events: Int16(POLLIN), revents: 0)
        return poll(&request, 1, milliseconds) > 0
    }

    @Test("an agent gets a bounded number of connections, and the next when one ends", .endsHangs)
    func manyConnections() async throws {
        let (socket, agent) = try listener()
        let proxy = try proxy(socket)
        try await blocking {
            var clients = try (0..<(AgentProxy.limit + 3)).map { _ in try connectUnixSocket(proxy.socket).shared() }
            var served: [SharedFD] = []
            for _ in 0..<AgentProxy.limit { served.append(try acceptUnixSocket(agent.raw).shared()) }
            #expect(!isReadable(agent, within: 200))
            clients.removeFirst(AgentProxy.limit)
            served = []
            for _ in clients { served.append(try acceptUnixSocket(agent.raw).shared()) }
            withExtendedLifetime((clients, served)) {}
        }
        proxy.stop()
    }

    @Test(
        "an agent that takes nobody is not waited for longer than the patience, nor than the proxy lives",
        .endsHangs,
        arguments: [true, false]
    )
    func busyAgent(isPatient: Bool) async throws {
        let (socket, agent) = try listener()
        let accepted = Monitor(false)
        let proxy = try proxy(socket, patience: isPatient ? .seconds(3600) : .milliseconds(50)) {
            (listener) throws(SystemError) in
            let client = try acceptUnixSocket(listener)
            accepted.withLock { $0 = true }
            return client
        }
        try await blocking {
            // Until nobody else has room.
            var waiting: [SharedFD] = []
            while let next = try? connectUnixSocket(socket, timeout: .zero).shared() { waiting.append(next) }
            let client = try connectUnixSocket(proxy.socket)
            _ = accepted.wait { $0 ? true : nil }
            if isPatient { proxy.stop() }
            #expect((try? readAll(client.raw)) ?? [] == [])
            withExtendedLifetime((agent, waiting)) {}
        }
        proxy.stop()
    }

    @Test("the proxy goes on when descriptors are short for a while", .endsHangs)
    func noDescriptors() async throws {
        let (socket, agent) = try listener()
        let failures = Mutex<[Int32]>([EMFILE, ENFILE])
        let proxy = try proxy(socket) { (listener) throws(SystemError) in
            if let next = failures.withLock({ $0.popLast() }) { throw SystemError(errno: next, operation: "accept") }
            return try acceptUnixSocket(listener)
        }
        try await blocking {
            let client = try connectUnixSocket(proxy.socket)
            try writeBytes(client.raw, "x".utf8)
            let served = try acceptUnixSocket(agent.raw).shared()
            #expect(isReadable(served, within: 120_000))
        }
        proxy.stop()
    }

    @Test("a command talks to the agent as its user", .enabled(if: ExecKitchen.isPossible), arguments: ["", "cook"])
    func command(user: String) async throws {
        let kitchen = try ExecKitchen()
        let agents = try agents(["one"])
        kitchen.provide(agents: agents)
        let id: UInt32 = user.isEmpty ? 0 : 1000
        // Asks for the list: a message of one byte, type 11. The answer's type is 12, with one key.
        let script = "echo $SSH_AUTH_SOCK; stat -c %a:%u $SSH_AUTH_SOCK; test -S $SSH_AUTH_SOCK && echo socket"
        let mount = ExecMount(.ssh(SSHMount(uid: id)), target: "/run/buildkit/ssh_agent.0", readOnly: true)
        let (layers, output) = try await kitchen.run(script, [mount]) { $0.user = user }
        #expect(output == "/run/buildkit/ssh_agent.0\n600:\(id)\nsocket\n")
        #expect(try kitchen.added(layers) == [])
        await agents.close()
    }

    @Test("an agent that nobody gave", .enabled(if: ExecKitchen.isPossible)) func missing() async throws {
        let kitchen = try ExecKitchen()
        let optional = ExecMount(.ssh(SSHMount()), target: "/s", readOnly: true)
        #expect(
            try await kitchen.run("echo ${SSH_AUTH_SOCK-unset}; ls -d /s 2>/dev/null || true", [optional]).output
                == "unset\n"
        )
        let required = ExecMount(.ssh(SSHMount(id: "work", isRequired: true)), target: "/s", readOnly: true)
        let error = await #expect(throws: BuildOpsError.self) { try await kitchen.run("true", [required]) }
        #expect(error?.message == "unset ssh forward key work")
        #expect(error?.nextStep == "give the build an SSH agent: --ssh work=SOCKET")
    }
}
