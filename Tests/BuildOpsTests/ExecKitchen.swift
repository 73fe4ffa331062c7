// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Executor
import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Snapshots
import Solver
import Synchronization
import Testing

@testable import BuildOps

/// A kitchen whose commands run in real containers, over a small image of busybox.
final class ExecKitchen: SolverEventSink {
    let kitchen: TestKitchen
    let base: StepValue
    var secrets: any BuildSecrets { provided.withLock { $0.secrets } }
    private let provided = Mutex<(secrets: any BuildSecrets, agents: any SSHAgents)>(
        (NothingProvided(), NothingProvided())
    )
    private let output = Mutex<[UInt8]>([])

    static let busybox: String? = ["/bin/busybox", "/usr/bin/busybox"].first { (path: String) in access(path, X_OK) == 0
    }
    /// Root of the machine or of a user namespace, with a runtime and busybox.
    static let isPossible = geteuid() == 0 && busybox != nil && (try? OCIRuntime()) != nil

    init() throws {
        kitchen = try TestKitchen()
        base = try kitchen.stage(
            """
            mkdir -p bin etc tmp usr/lib; chmod 1777 tmp; cp '\(Self.busybox ?? "")' bin/busybox
            for name in sh cat ls echo id mkdir touch rm stat grep find mount df sleep test chmod ln readlink nc wc \
                ps head mknod sort sed; do ln -s busybox bin/$name; done
            printf 'root:x:0:0::/root:/bin/sh\\ncook:x:1000:1001::/:/bin/sh\\n' > etc/passwd
            """
        )
    }

    func provide(secrets: any BuildSecrets = NothingProvided(), agents: any SSHAgents = NothingProvided()) {
        provided.withLock { $0 = (secrets, agents) }
    }

    func send(_ event: SolverEvent) {
        if case .log(_, _, let bytes, _) = event { output.withLock { $0 += bytes } }
    }

    /// What all commands printed so far.
    var log: String { output.withLock { String(decoding: $0, as: UTF8.self) } }

    func environment() throws -> StepEnvironment {
        var environment = kitchen.environment()
        environment.executor = try OCIRuntime()
        environment.events = self
        environment.commandSlots = Slots(4)
        (environment.secrets, environment.agents) = provided.withLock { ($0.secrets, $0.agents) }
        return environment
    }

    func step(
        _ script: String,
        _ mounts: [ExecMount] = [],
        _ change: (inout ExecOp) -> Void = { _ in }
    ) throws -> ExecStep {
        var op = ExecOp(
            arguments: ["/bin/sh", "-ec", script],
            environment: ["PATH=/bin"],
            workingDirectory: "/",
            user: "",
            mounts: mounts
        )
        change(&op)
        let info = VertexInfo(id: VertexID(.sha256("run \(UInt64.random(in: 0 ... .max))")), name: "RUN")
        return ExecStep(op, info, try environment())
    }

    /// The new layers, and what the command printed.
    @discardableResult
    func run(
        _ script: String,
        _ mounts: [ExecMount] = [],
        inputs: [StepValue] = [],
        _ change: (inout ExecOp) -> Void = { _ in }
    ) async throws -> (layers: [SnapshotID], output: String) {
        let before = log.utf8.count
        let result: ExecStep.Result
        do {
            result = try await step(script, mounts, change).run([base] + inputs)
        } catch {
            // What the command said tells more than its exit code.
            if (error as? BuildOpsError)?.code == .commandFailed { Issue.record("\(log)") }
            throw error
        }
        return (result.layers, String(decoding: log.utf8.dropFirst(before), as: UTF8.self))
    }

    /// The paths of the new layer.
    func added(_ layers: [SnapshotID]) throws -> [String] {
        try kitchen.listLast(layers).map { String($0.prefix { $0 != " " }) }
    }

    func directory(_ name: String) throws -> RawPath {
        let path = kitchen.scratch.file(name)
        try makeDirectories(path)
        return path
    }
}

extension ExecMount {
    static func bind(_ target: String, from path: String = "/", input: Int = 1, writable: Bool = false) -> ExecMount {
        ExecMount(.bind(input: input, path: path), target: target, readOnly: !writable)
    }

    static func cache(
        _ target: String,
        id: String = "test",
        _ sharing: CacheMount.Sharing = .shared,
        seed: CacheMount.Seed? = nil,
        permissions: UInt32 = 0o755,
        uid: UInt32 = 0
    ) -> ExecMount {
        let cache = CacheMount(id: id, sharing: sharing, seed: seed, permissions: permissions, uid: uid)
        return ExecMount(.cache(cache), target: target, readOnly: false)
    }

    static func secret(_ secret: SecretMount, at target: String?) -> ExecMount {
        ExecMount(.secret(secret), target: target, readOnly: true)
    }
}
