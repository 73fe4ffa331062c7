// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Testing

/// What takes space, what a prune takes away, and what it leaves.
@Suite(.endToEnd) struct SpaceTests {
    /// The stores of all tests are on one disk, which may be as full as it likes.
    static func configure(_ store: GalleyStore, _ text: String = "[worker.oci]\ngc = false\n") throws {
        try makeDirectories(store.directory.file("config/galley"))
        try replaceFile(store.directory.file("config/galley/galley.toml"), text.utf8)
    }

    private static func store(_ configuration: String = "[worker.oci]\ngc = false\n") async throws -> GalleyStore {
        let store = try await GalleyStore.pinned()
        try configure(store, configuration)
        return store
    }

    /// `galley du --format json`, by id.
    private static func usage(_ store: GalleyStore, _ options: String...) async throws -> [String: JSONValue] {
        let output = try await store.galley(["du", "--format", "json"] + options).get().output
        let values = try output.split(separator: "\n").map { try JSONValue(parsing: Array($0.utf8)) }
        return Dictionary(values.map { ($0["ID"]?.stringValue ?? "", $0) }, uniquingKeysWith: { $1 })
    }

    private static func ids(_ store: GalleyStore, _ filters: [String]) async throws -> [String] {
        let options = filters.flatMap { ["--filter", $0] }
        return try await store.galley(["du", "--format", "{{.Type}} {{.Description}}"] + options).get().output
            .split(separator: "\n").map(String.init)
    }

    private static func occupied(_ store: GalleyStore) async throws -> Int64 {
        let text = try await runScript("du -s -B1 --exclude='galley.db*' '\(store.root)' | cut -f1")
        return try #require(Int64(text.filter(\.isNumber)))
    }

    /// A megabyte that no compression makes smaller.
    private static func waste(_ megabytes: Int) -> String { "head -c \(megabytes)000000 /dev/urandom" }

    private static func reclaimed(_ output: String) throws -> String {
        let line = try #require(output.split(separator: "\n").last { $0.hasPrefix("Total reclaimed space: ") })
        return String(line.dropFirst("Total reclaimed space: ".count))
    }

    // MARK: du

    @Test func everythingIsListedWithItsKind() async throws {
        let store = try await Self.store()
        let context = try BuildContext(
            """
            FROM alpine AS builder
            RUN --mount=type=cache,target=/c,id=mine \(Self.waste(3)) > /c/x; \(Self.waste(1)) > /f; ln /f /g
            FROM alpine
            COPY --from=builder /f /f
            COPY in /in
            """,
            ["in": "1"]
        )
        try await store.build(context, tag: "app")
        let all = try await Self.usage(store)
        func find(_ text: String) throws -> JSONValue {
            try #require(all.values.first { $0["Description"]?.stringValue?.contains(text) == true })
        }
        let base = try find("ADD rootfs.tar /")
        #expect(base["Shared"] == "true" && base["Reclaimable"] == "false" && base["Type"] == "regular")
        let command = try find("RUN --mount=type=cache")
        #expect(command["Shared"] == "false" && command["Reclaimable"] == "true")
        #expect(command["Parents"] == base["ID"])
        // Two names of one file are one.
        #expect(command["Size"] == "1.01MB")
        let cache = try find("cache mount /mine")
        #expect(cache["Type"] == "exec.cachemount" && cache["Mutable"] == "true" && cache["Size"] == "3.01MB")
        #expect(try find("digests of files below \(context.path)")["Type"] == "source.local")
        #expect(all["galley.db"]?["Reclaimable"] == "false")
        let table = try await store.galley("du").get().output
        for part in [
            "ID ", "RECLAIMABLE", "LAST ACCESSED", "Shared:\t\t", "Private:\t4.", "Reclaimable:\t4.", "Total:\t\t",
            "Nothing is removed after builds: gc = false of \(store.directory.file("config/galley/galley.toml"))",
        ] {
            #expect(table.contains(part), "\(part) in \(table)")
        }
        let verbose = try await store.galley("du", "-v", "--filter", "description~=cache mount").get().output
        for part in [
            "Mutable:\ttrue\n", "Type:\t\texec.cachemount\n", "Usage count:\t1\n", "Description:\tcache mount /mine\n",
        ] {
            #expect(verbose.contains(part), "\(part) in \(verbose)")
        }
        try expectNothingLeft(store.leftovers())
    }

    @Test func filtersSelectAndErrorsNameThem() async throws {
        let store = try await Self.store()
        let context = try BuildContext("FROM alpine\nRUN --mount=type=cache,target=/c : one\nRUN : two\n")
        try await store.build(context, tag: "app")
        try await store.galley("rmi", "app").get()
        #expect(try await Self.ids(store, ["type=exec.cachemount"]) == ["exec.cachemount cache mount //c"])
        #expect(try await Self.ids(store, ["description~=: (one|two)$", "private"]).count == 2)
        #expect(try await Self.ids(store, ["type==regular", "shared"]) == ["regular [1/1] ADD rootfs.tar /"])
        #expect(try await Self.ids(store, ["until=1h"]).filter { $0.hasPrefix("regular") } == [])
        #expect(
            try await Self.ids(store, ["parent=1"]) == ["regular [stage-0 2/3] RUN --mount=type=cache,target=/c : one"]
        )
        for (command, filter) in [("du", "size=5"), ("prune", "until=x"), ("prune", "type=nothing"), ("du", "id~=[")] {
            let result = try await store.galley([command, "--filter", filter] + (command == "prune" ? ["-f"] : []))
            #expect(result.status == 1)
            #expect(
                try result.message().contains(filter.split(separator: "=")[0].prefix { $0.isLetter })
                    || filter == "id~=["
            )
            #expect(result.errors.contains("hint: "))
        }
        #expect(
            try await store.galley("prune", "-f", "--keep-storage", "lots").errors.contains("invalid --reserved-space")
        )
    }

    // MARK: prune

    @Test func freesWhatItSays() async throws {
        let store = try await Self.store()
        try await store.build(
            BuildContext("FROM alpine\nRUN \(Self.waste(7)) > /a; ln /a /b\nRUN \(Self.waste(5)) > /c\n"),
            tag: "gone"
        )
        try await store.build(
            BuildContext("FROM alpine\nRUN --mount=type=cache,target=/c \(Self.waste(9)) > /c/x; : > /y\n"),
            tag: "kept"
        )
        try await store.galley("rmi", "gone").get()
        let before = try await Self.occupied(store)
        // Without options only what nothing leads to: the results still are there.
        #expect(try Self.reclaimed(await store.galley("prune", "-f").get().output).hasSuffix("kB"))
        let between = try await Self.occupied(store)
        let result = try await store.galley("prune", "-f", "--filter", "description~=urandom > /c$").get().output
        #expect(try Self.reclaimed(result) == "5.01MB", "\(result)")
        let after = try await Self.occupied(store)
        #expect(between - after >= 5_000_000 && between - after < 5_030_000)
        #expect(result.contains("Deleted: 1 layers, 0 blobs, 1 cache records"))
        let rest = try await store.galley("prune", "-fa").get().output
        let end = try await Self.occupied(store)
        #expect(after - end >= 16_000_000 && after - end < 16_100_000)
        #expect(try Self.reclaimed(rest) == "16MB" || Self.reclaimed(rest) == "16.1MB", "\(rest)")
        #expect(before > end)
        #expect(try await store.shell("kept", "ls /y") == "/y\n")
        try await store.requireUnharmed()
    }

    @Test func whatAnImageNeedsStays() async throws {
        let store = try await Self.store()
        let context = try BuildContext("FROM alpine\nRUN echo 1 > /f\nRUN echo 2 > /g\n")
        let id = try await store.build(context, tag: "app")
        for options in [
            ["-a"], ["--max-used-space", "1"], ["--until", "0s"], ["--filter", "type=regular"],
            ["--min-free-space", "100%"],
        ] {
            try await store.galley(["prune", "-f"] + options).get()
            #expect(try await store.shell("app", "cat /f /g") == "1\n2\n", "\(options)")
            try await store.galley("save", "-o", "/dev/null", "app").get()
        }
        try await store.galley("tag", "app", "second").get()
        try await store.galley("rmi", "app").get()
        try await store.galley("prune", "-fa").get()
        #expect(try await store.inspect("second")["Id"]?.stringValue == id)
        #expect(try await store.shell("second", "cat /f /g") == "1\n2\n")
    }

    @Test func keepsTheLastUsedWithinTheSpaceItWasGiven() async throws {
        let store = try await Self.store()
        let contexts = try (0..<4).map { try BuildContext("FROM alpine\nRUN : \($0); \(Self.waste(4)) > /f\n") }
        for context in contexts { try await store.build(context) }
        // The oldest is used again.
        #expect(try await store.record(contexts[0]).progress.executed == [])
        try await store.galley("prune", "-f", "--keep-storage", "9MB").get()
        #expect(try await store.record(contexts[0]).progress.executed == [])
        #expect(try await store.record(contexts[3]).progress.executed == [])
        #expect(try await store.record(contexts[1]).progress.executed.count == 1)
        // Nothing is as old as that.
        let none = try await store.galley("prune", "-f", "--until", "24h").get().output
        #expect(try Self.reclaimed(none) == "0B")
    }

    @Test func theLayersAboveGoWithALayer() async throws {
        let store = try await Self.store()
        let context = try BuildContext("FROM alpine\nRUN echo 1 > /f\nRUN echo 2 > /g\nRUN echo 3 > /h\n")
        try await store.build(context)
        try await store.galley("prune", "-f", "--filter", "type=regular").get()
        #expect(try await Self.ids(store, ["type=regular", "private"]) == [])
        let record = try await store.record(context, tag: "app")
        #expect(record.progress.executed.count == 3)
        #expect(try await store.shell("app", "cat /f /g /h") == "1\n2\n3\n")
    }

    // MARK: Automatic

    @Test func buildsStayWithinTheirSpaceByThemselves() async throws {
        let store = try await Self.store("[worker.oci]\nmaxUsedSpace = \"12MB\"\nreservedSpace = \"1MB\"\n")
        try await store.build(
            BuildContext("FROM alpine\nRUN echo kept > /f; \(Self.waste(20)) > /big\n"),
            tag: "tagged"
        )
        for number in 0..<6 {
            try await store.build(BuildContext("FROM alpine\nRUN : \(number); \(Self.waste(4)) > /f\n"))
            // An image with a name does not count: nobody but the user can remove it.
            let all = try await store.galley("du", "--filter", "private", "--filter", "type=regular").get().output
            #expect(try #require(Self.total(all)) <= 12_600_000, "\(all)")
        }
        #expect(try await store.shell("tagged", "cat /f") == "kept\n")
        let text = try await store.galley("du").get().output
        #expect(text.contains("maxUsedSpace: 12.6MB (set in ") && text.contains("nothing is due"), "\(text)")
        #expect(text.contains("Next to go: "))
        try expectNothingLeft(store.leftovers())
    }

    @Test func failedBuildsStayWithinTheirSpaceToo() async throws {
        let store = try await Self.store("[worker.oci]\nmaxUsedSpace = \"12MB\"\nreservedSpace = \"1MB\"\n")
        for number in 0..<4 {
            let context = try BuildContext("FROM alpine\nRUN : \(number); \(Self.waste(5)) > /f\nRUN false\n")
            let result = try await store.tryBuild(context)
            #expect(result.status == 1)
            #expect(result.errors.contains("pruned the cache: ") == (number > 1), "\(result)")
            let all = try await store.galley("du", "--filter", "private", "--filter", "type=regular").get().output
            let total = try #require(Self.total(all))
            #expect(total >= 5_000_000 && total <= 12_600_000, "\(all)")
        }
    }

    private static func total(_ table: String) -> Double? {
        guard let line = table.split(separator: "\n").last(where: { $0.hasPrefix("Total:") }) else { return nil }
        let value = line.drop { !$0.isNumber }
        let scale = value.hasSuffix("MB") ? 1e6 : value.hasSuffix("kB") ? 1e3 : 1
        return Double(value.prefix { $0.isNumber || $0 == "." }).map { $0 * scale }
    }

    @Test(arguments: [
        ("reservedSpace = \"x\"", "reservedSpace of worker.oci"), ("gc = 1", "gc of worker.oci must be true or false"),
        ("[[worker.oci.gcpolicy]]\nkeepDuration = \"5x\"", "keepDuration of worker.oci.gcpolicy"),
        ("[[worker.oci.gcpolicy]]\nfilters = [\"type==x\"]", "there is no type \"x\""),
        ("[[worker.oci.gcpolicy]]\nkeepdays = 5", "has the unknown key \"keepdays\""),
    ])
    func wrongConfigurations(text: String, reason: String) async throws {
        let store = try GalleyStore()
        try Self.configure(store, text.hasPrefix("[") ? text : "[worker.oci]\n" + text)
        let result = try await store.galley("du")
        #expect(try result.status == 1 && result.message().contains(reason), "\(result)")
    }

    @Test func limitsOfZeroAreNotSet() async throws {
        let store = try GalleyStore()
        try Self.configure(store, "[worker.oci]\nmaxUsedSpace = 0\nreservedSpace = \"0%\"\n")
        #expect(try await store.galley("du").get().output.contains("maxUsedSpace: none") == false)
        // buildkitd's old name takes their place.
        try Self.configure(store, "[worker.oci]\nmaxUsedSpace = 0\ngckeepstorage = \"5GB\"\n")
        let text = try await store.galley("du").get().output
        #expect(text.contains("reservedSpace: 5.37GB (set in ") && text.contains("maxUsedSpace: none"), "\(text)")
    }

    @Test func rulesOfOnesOwn() async throws {
        let store = try await Self.store(
            """
            [worker.oci]
            snapshotter = "of buildkitd, passed over"
            [[worker.oci.gcpolicy]]
            filters = ["type==exec.cachemount"]
            keepDuration = "48h"
            [[worker.oci.gcpolicy]]
            all = true
            keepDuration = 864000
            reservedSpace = 1000000000
            """
        )
        let text = try await store.galley("du").get().output
        #expect(text.contains("1. exec.cachemount, unused for 2 days\n"), "\(text)")
        #expect(
            text.contains("2. anything, also internal data, unused for 10 days, while the cache has more than 1GB\n")
        )
    }

    // MARK: Many at once

    @Test func aRunningBuildLosesNothing() async throws {
        let store = try await Self.store()
        let marker = newMarker()
        let gate = try ScratchDirectory()
        let context = try BuildContext(
            """
            FROM alpine
            RUN echo 1 > /f
            RUN --mount=type=bind,from=gate,target=/gate --mount=type=cache,target=/c \
                echo x > /c/x; : \(marker); while [ ! -e /gate/open ]; do sleep 0.1; done
            RUN cat /f > /g
            """
        )
        try await store.build(BuildContext("FROM alpine\nRUN echo 1 > /f\n"))
        let build = try store.start([
            "build", "--progress", "plain", "-t", "app", "--build-context", "gate=\(gate.path)", context.path,
        ])
        try await eventually("the command waits") {
            guard build.isRunning else { throw ProgramFailure(description: try build.errorsSoFar()) }
            return try containerProcesses(marker) > 0
        }
        let used = try await Self.usage(store, "--filter", "inuse")
        #expect(used.values.contains { $0["Description"]?.stringValue?.contains("RUN echo 1") == true }, "\(used)")
        #expect(used.values.contains { $0["Type"] == "exec.cachemount" }, "\(used)")
        for _ in 0..<3 { try await store.galley("prune", "-fa").get() }
        build.send(SIGTERM)
        _ = try await build.finish()
        // The same again, to its end: the command finds its gate open.
        let open = try BuildContext(nil, ["open": ""])
        let second = try store.start([
            "build", "--progress", "plain", "-t", "app", "--build-context", "gate=\(open.path)", context.path,
        ])
        for _ in 0..<3 { try await store.galley("prune", "-fa").get() }
        try await second.finish().get()
        #expect(try await store.shell("app", "cat /g") == "1\n")
    }

    @Test(.enabled(if: RegistryServer.isInstalled))
    func anyMixture() async throws {
        let registry = try await RegistryServer()
        let store = try await Self.store("[worker.oci]\nmaxUsedSpace = \"3MB\"\nreservedSpace = \"1kb\"\n")
        let contexts = try (0..<4).map { number in
            let context = try BuildContext(
                """
                FROM alpine AS builder
                COPY in /in
                RUN --mount=type=cache,target=/c,id=\(number % 2) cat /in >> /c/all; cat /in > /out; \
                    head -c 700000 /dev/urandom > /waste
                FROM alpine
                COPY --from=builder /out /out
                RUN echo \(number) > /number
                """,
                ["in": "of \(number)\n"]
            )
            return context
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, context) in contexts.enumerated() {
                let name = "\(registry.host)/app\(number)"
                group.addTask {
                    for round in 0..<3 {
                        try await Self.run(store, "build", "--progress", "plain", "-t", name, context.path)
                        try await Self.run(store, "tag", name, "\(name):\(round)")
                        try await Self.run(store, "push", "\(name):\(round)")
                        let output = try await Self.run(store, "run", "--rm", name, "cat", "/out", "/number")
                        #expect(output == "of \(number)\n\(number)\n")
                        try await Self.run(store, "rmi", "\(name):\(round)")
                        if round == 1 {
                            try await Self.run(store, "rmi", name)
                            try await Self.run(store, "pull", name + ":0")
                        }
                    }
                }
            }
            for options in [["-f"], ["-fa"], ["-f", "--until", "0s"], ["-f", "--max-used-space", "1MB"]] {
                group.addTask {
                    for _ in 0..<6 { try await Self.run(store, ["prune"] + options) }
                }
            }
            group.addTask { for _ in 0..<4 { try await Self.run(store, ["du", "-v"]) } }
            try await group.waitForAll()
        }
        for number in 0..<4 {
            #expect(try await store.shell("\(registry.host)/app\(number)", "cat /number") == "\(number)\n")
        }
        try await store.requireUnharmed()
    }

    /// Not through the gate that lets only a few run: the more the better.
    @discardableResult
    private static func run(_ store: GalleyStore, _ arguments: [String]) async throws -> String {
        try await store.start(arguments).finish().get().output
    }

    @discardableResult
    private static func run(_ store: GalleyStore, _ arguments: String...) async throws -> String {
        try await run(store, arguments)
    }

    @Test func killedAnywhereAPruneLeavesAWholeStore() async throws {
        let store = try await Self.store()
        let context = try BuildContext(
            "FROM alpine\nRUN for i in $(seq 400); do mkdir /d$i; echo $i > /d$i/f; done\n"
                + (0..<6).map { "RUN for i in $(seq 100); do echo \($0) > /f$i; done\n" }.joined()
        )
        try await store.build(context, tag: "app")
        for moment in 0..<12 {
            try await store.build(context)
            try await store.galley("rmi", "app").get()
            let prune = try store.start(["prune", "-fa"])
            try await Task.sleep(for: .milliseconds(8 * moment))
            prune.send(SIGKILL)
            _ = try await prune.finish()
            // Whatever is left gives the right image.
            try await store.build(context, tag: "app")
            #expect(try await store.shell("app", "cat /f7 /d400/f; ls / | grep -c '^[df][0-9]'") == "5\n400\n500\n")
        }
        try expectNothingLeft(store.leftovers())
        try await store.galley("rmi", "app").get()
        try await store.galley("prune", "-fa").get()
        #expect(try await Self.ids(store, ["type=regular", "private"]) == [])
        let snapshots = try open(store.root.appending("snapshots"), [.directory])
        #expect(try readDirectory(snapshots.raw).count == 1)
    }
}
