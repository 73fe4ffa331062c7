// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildDefinition
import BuildOps
import Content
import Executor
import Glibc
import LinuxSystem
import Snapshots
import Solver
import Synchronization

private struct NothingRuns: ProcessExecutor {
    struct Refusal: Error {}
    func run(_ spec: ProcessSpec, root: RootTree, io: ProcessIO, scratch: RawPath) async throws -> ProcessExit {
        throw Refusal()
    }
}

private struct Silence: SolverEventSink { func send(_ event: SolverEvent) {} }

/// A context of 50,000 files in 500 directories. Goes away with the value.
private final class Context: Sendable {
    let path: RawPath

    /// Made once: some file systems take long to make so many files.
    static let shared = Mutex(Context?.none)

    static func make() throws -> Context {
        try shared.withLock { shared in
            let context = try shared ?? Context()
            shared = context
            return context
        }
    }

    private init() throws {
        path = temporaryPath()
        try makeDirectory(path, mode: 0o700)
        let content = [UInt8](repeating: 0x61, count: 256)
        for directory in 0..<500 {
            let directory = path.appending("d\(directory)")
            try makeDirectory(directory, mode: 0o755)
            for file in 0..<100 {
                let fd = try open(directory.appending("f\(file)"), [.writeOnly, .create, .exclusive], mode: 0o644)
                try writeBytes(fd.raw, content)
            }
        }
        // Nobody remembers a file that was written just now.
        usleep(100_000)
    }

    deinit { try? removeTree(path) }
}

/// In memory where there is room: counts are the same, and some disks take minutes to make so many files.
private func temporaryPath() -> RawPath {
    let memory: RawPath = "/dev/shm"
    let hasRoom = (try? FileSystemSpace(of: memory).free).map { $0 >= 1 << 30 } ?? false
    let parent = getenv("TMPDIR").map { RawPath(String(cString: $0)) } ?? (hasRoom ? memory : "/tmp")
    return parent.appending(RawPath("galley-bench-" + String(UInt64.random(in: 0 ... .max), radix: 36)))
}

/// Removes what the benchmarks made.
func removeContexts() { Context.shared.withLock { $0 = nil } }

/// A new store, and the context as builds scan it. Goes away with the value.
private final class Kitchen: Sendable {
    private let context: Context
    private let folder: RawPath
    private let root: StoreRoot
    private let database: MetadataDatabase

    init() throws {
        context = try Context.make()
        folder = temporaryPath()
        root = try StoreRoot(folder)
        database = try MetadataDatabase(
            path: folder.appending("galley.db").description,
            schemas: [OverlaySnapshotter.schema, BuildCacheSchema.schema]
        )
    }

    deinit {
        root.close()
        try? removeTree(folder)
    }

    /// The scan that gives the key of `COPY . .`.
    func scan() async throws {
        let environment = StepEnvironment(
            root: root,
            snapshotter: OverlaySnapshotter(root, database),
            executor: NothingRuns(),
            events: Silence(),
            now: { EventTime(nanoseconds: 0) },
            fileDigests: FileDigestMemory(database),
            selectionDigests: SelectionDigestMemory(database),
            directories: ["context": .init(path: context.path)],
            images: { _, _ in preconditionFailure("no images here") },
            commandSlots: Slots(1)
        )
        let vertex = BuildVertex(op: .local(LocalOp(name: "context")), inputs: [], metadata: .init(name: "context"))
        _ = try await BuildStep(vertex, environment).definitionKey(inputs: [])
    }
}

let contextBenchmarks = [
    MicroBenchmark("scan", "a context of 50,000 files, all read") {
        let kitchen = try Kitchen()
        return { try await kitchen.scan() }
    },
    MicroBenchmark("scan-known", "the same, nothing changed") {
        let kitchen = try Kitchen()
        try await kitchen.scan()
        return { try await kitchen.scan() }
    },
]
