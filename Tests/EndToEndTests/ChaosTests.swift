// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Foundation
import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Testing

/// Everything that can happen to a store, at random: programs killed at any moment, several at once, connections cut,
/// files damaged behind Galley's back. What the store gives afterwards is what a clean one gives.
///
/// `GALLEY_TEST_CHAOS_SEED` repeats a run, as far as time lets it; `GALLEY_TEST_CHAOS_KILLS` is how many programs are
/// killed.
@Suite(.endToEnd, .enabled(if: RegistryServer.isInstalled), .needs(program: "sqlite3"))
struct ChaosTests {
    private static func setting(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
    }

    private static let kills = Int(setting("GALLEY_TEST_CHAOS_KILLS") ?? 200)

    @Test func nothingWrongEverComesOut() async throws {
        let seed = Self.setting("GALLEY_TEST_CHAOS_SEED") ?? UInt64.random(in: 0..<1 << 32)
        print("chaos: GALLEY_TEST_CHAOS_SEED=\(seed)")
        var chaos = try await Chaos(seed: seed)
        var rounds = 0
        while chaos.kills < Self.kills {
            rounds += 1
            try await chaos.killSome()
            if rounds % 2 == 0 { try await chaos.requireWorking() }
            if rounds % 6 == 0 {
                if rounds % 12 == 0 { try await chaos.damage() }
                try await chaos.examine()
                try await chaos.compare()
            }
        }
        try await chaos.examine()
        try await chaos.compare()
        try await chaos.requireCleanEnd()
    }

    /// A disk that is full at another moment each time, and programs that are killed while it is.
    @Test(.needs(program: "unshare")) func fullDisks() async throws {
        let store = try await GalleyStore.pinned()
        let context = try BuildContext(
            "FROM alpine\nCOPY big /big\nRUN cat /big > /copy && touch -d @1000000000 /copy\nRUN rm /big; cp -p /copy /third\n"
                + "RUN rm /third\n"
        )
        try context.directory.shell(
            "head -c 3000000 /dev/zero | tr '\\0' x > big && touch -d @1000000000 big Dockerfile ."
        )
        let clean = try await GalleyStore.pinned()
        let id = try await clean.pinnedBuild(context, tag: "app")
        let script = """
            small=$root-small; mkdir "$small"; mount -t tmpfs -o size=40m none "$small"; cp -a "$root/." "$small"
            galley() { "$binary" --root "$small" "$@"; }
            build() { galley build --progress plain --build-arg SOURCE_DATE_EPOCH=1000000000 -t app "$@" "$context"; }
            for round in $(seq 14); do
                free=$(df --output=avail -k "$small" | tail -1)
                left=$((round * 700))
                [ $free -le $left ] || head -c $(((free - left) * 1024)) /dev/zero > "$small/filler" || true
                if [ $((round % 3)) = 0 ]; then
                    timeout -s KILL 0.$((round % 7 + 2)) "$binary" --root "$small" build --no-cache "$context" || true
                else
                    build --no-cache > "$root-log" 2>&1 || grep -qiE 'no space left|disk (that holds .* )?is full|exit code: 1' "$root-log" || { cat "$root-log"; exit 7; }
                fi
                rm -f "$small/filler"
                galley doctor || exit 8
                galley doctor --check || exit 9
                galley prune -f > /dev/null
            done
            build --iidfile "$root-id" >&2
            [ -z "$(ls -A "$small/tmp")" ] || { ls "$small/tmp"; exit 10; }
            cat "$root-id"
            """
        var environment = store.environment
        environment["root"] = store.root.description
        environment["context"] = context.path
        environment["binary"] = TestInstallation.binary
        let result = try await runProgram(
            "/usr/bin/env",
            ["unshare", "--mount", "--propagation", "private", "/bin/bash", "-euo", "pipefail", "-c", script],
            environment: environment
        )
        #expect(result.succeeded && result.output.hasSuffix(id), "\(result)")
    }

    /// The same numbers for the same seed (SplitMix64).
    struct Dice: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var z = state
            z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
            return z ^ (z >> 31)
        }
    }
}

/// A store that is maltreated, and what it has to give in spite of that.
private struct Chaos {
    /// A Dockerfile, and what a clean store makes of it.
    struct Recipe {
        var context: BuildContext
        var name: String
        var id = ""
        var files: [String: String] = [:]
    }

    let seed: UInt64
    var dice: ChaosTests.Dice
    var kills = 0
    var log: [String] = []
    let registry: RegistryServer
    let proxy: CuttingProxy
    let store: GalleyStore
    let marker = newMarker()
    let out: ScratchDirectory
    var recipes: [Recipe] = []

    init(seed: UInt64) async throws {
        self.seed = seed
        dice = ChaosTests.Dice(state: seed)
        registry = try await RegistryServer()
        guard let port = UInt16(registry.host.split(separator: ":")[1]) else { throw Wrong("no port") }
        proxy = try CuttingProxy(to: port)
        store = try GalleyStore()
        out = try ScratchDirectory()
        let clean = try GalleyStore()
        let base = "\(proxy.host)/base"
        try await clean.addPinnedBase(tag: base)
        try await clean.galley("push", base).get()
        for number in 0..<3 {
            let context = try Self.context(number, base, marker)
            var recipe = Recipe(context: context, name: "\(proxy.host)/app\(number)")
            recipe.id = try await clean.pinnedBuild(context, tag: recipe.name)
            recipe.files = try await Self.files(clean, context, out)
            recipes.append(recipe)
        }
    }

    private static func context(_ number: Int, _ base: String, _ marker: String) throws -> BuildContext {
        let pin = "touch -d @1000000000"
        let text = """
            FROM \(base) AS builder
            COPY . /src
            RUN --mount=type=cache,target=/cache : \(marker); echo x >> /cache/x; cat /src/a /src/b > /made; \(pin) /made
            FROM \(base)
            RUN : \(marker); mkdir -p /data/d && echo \(number) > /data/d/f && rm /etc/motd; \(pin) /data/d/f /data/d /data
            COPY --from=builder /made /data/made
            COPY b /data/b
            """
        let context = try BuildContext(text, ["a": "shared\n", "b": "\(number)\n"])
        try context.directory.shell("head -c 300000 /dev/zero | tr '\\0' x > big && \(pin) a b big Dockerfile .")
        return context
    }

    private static func files(_ store: GalleyStore, _ context: BuildContext, _ out: ScratchDirectory) async throws
        -> [String: String]
    {
        let place = out.file("tree-\(UInt32.random(in: 0 ... .max))")
        try await store.tryBuild(context, ["--build-arg", GalleyStore.epoch, "-o", "type=local,dest=\(place)"]).get()
        defer { try? removeTree(place) }
        return try treeFacts(place)
    }

    struct Wrong: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    private func wrong(_ text: String) -> Wrong {
        Wrong("\(text)\nseed \(seed), after:\n\(log.suffix(40).joined(separator: "\n"))")
    }

    // MARK: Killing

    /// A command, with the longest time after which it is killed.
    private mutating func command() -> (arguments: [String], limit: Int) {
        let recipe = recipes[Int.random(in: 0..<recipes.count, using: &dice)]
        let build = ["build", "--progress", "plain", "--build-arg", GalleyStore.epoch]
        switch Int.random(in: 0..<16, using: &dice) {
        case 0..<3: return (build + ["-t", recipe.name, recipe.context.path], 1200)
        case 3..<6: return (build + ["--no-cache", "-t", recipe.name, recipe.context.path], 1800)
        case 6: return (build + ["-o", "type=oci,dest=\(out.file("app.tar"))", recipe.context.path], 1500)
        case 7: return (build + ["-o", "type=local,dest=\(out.file("app-\(log.count)"))", recipe.context.path], 1500)
        case 8, 9: return (build + ["-t", recipe.name, "--push", recipe.context.path], 1800)
        case 10: return (["pull", "\(proxy.host)/base"], 500)
        case 11: return (["rmi", "-f", recipe.name], 120)
        case 12: return (["prune", "-f"], 200)
        case 13: return (["prune", "-a", "-f"], 300)
        case 14: return (["save", "-o", out.file("saved.tar").description, recipe.name], 600)
        default: return (["doctor"], 500)
        }
    }

    /// Starts up to four programs at once and kills them, each at a moment of its own.
    mutating func killSome() async throws {
        let isCut = Int.random(in: 0..<4, using: &dice) == 0
        proxy.cut(after: isCut ? Int.random(in: 0..<400_000, using: &dice) : nil)
        if isCut { log.append("connections are cut") }
        var running: [(program: RunningProgram, end: ContinuousClock.Instant)] = []
        for _ in 0..<Int.random(in: 2...4, using: &dice) {
            let (arguments, limit) = command()
            let delay = Int.random(in: 0...limit, using: &dice)
            log.append("kill after \(delay) ms: \(arguments.joined(separator: " "))")
            running.append((try store.start(arguments), .now + .milliseconds(delay)))
        }
        for (program, end) in running.sorted(by: { $0.end < $1.end }) {
            try await Task.sleep(until: end, clock: .continuous)
            program.send(SIGKILL)
            let result = try await program.finish(within: .seconds(30))
            if result.status == 128 + SIGKILL {
                kills += 1
            } else if !isCut, !result.succeeded {
                try excuse(result)
            }
        }
        proxy.cut(after: nil)
    }

    /// A program that ended by itself may have failed only for what the others took from it.
    private func excuse(_ result: ProgramResult) throws {
        let reasons = [
            "No such image", "is gone", "are gone", "was removed", "cannot be opened", "build or pull it again",
        ]
        guard reasons.contains(where: result.errors.contains) else { throw wrong("\(result)") }
    }

    // MARK: Damage

    /// Changes something that belongs to Galley alone.
    mutating func damage() async throws {
        let random = "shuf -n 1 --random-source=<(yes \(UInt32.random(in: 0 ... .max, using: &dice)))"
        let scripts = [
            "file=$(ls blobs/sha256 | \(random)); rm -f blobs/sha256/$file",
            "file=$(ls blobs/sha256 | \(random)); [ ! $file ] || printf xyz | dd of=blobs/sha256/$file conv=notrunc status=none",
            "layer=$(ls snapshots | \(random)); rm -rf snapshots/$layer",
            "layer=$(ls snapshots | \(random)); [ ! $layer ] || rm -rf snapshots/$layer/fs/*",
            """
            file=$(find snapshots -type f | \(random)); [ ! $file ] || echo changed > $file
            """,
            """
            [ ! -e galley.db ] || sqlite3 galley.db 'PRAGMA wal_checkpoint(TRUNCATE)' > /dev/null
            pages=$(($(stat -c %s galley.db) / 4096)); page=$(seq 0 $((pages - 1)) | \(random))
            head -c 4096 /dev/urandom | dd of=galley.db bs=4096 seek=$page conv=notrunc status=none
            """,
            "rm -f galley.db*",
            "if [ -e galley.db-wal ]; then printf garbage | dd of=galley.db-wal bs=1 seek=5000 conv=notrunc status=none; fi",
            "for mount in cache-mounts/*/; do rm -rf $mount/fs; done",
            "for mount in cache-mounts/*/fs; do [ ! -d $mount ] || echo other > $mount/x; done",
            "mkdir -p tmp/owner-dead/layer-1 snapshots/31337/fs; touch tmp/owner-dead.lock",
            // The clock was put back by an hour: all that is remembered is of the future.
            """
            sqlite3 galley.db "UPDATE snapshots SET used = used + 3600, created = created + 3600;
                UPDATE directory_digests SET updated = updated + 3600"
            """,
        ]
        let script = scripts[Int.random(in: 0..<scripts.count, using: &dice)]
        log.append("damage: \(script)")
        try await runScript("shopt -s nullglob\n\(script)", directory: store.root)
    }

    /// The doctor finds the store sound, or repairs it and then finds it sound.
    mutating func examine() async throws {
        log.append("doctor")
        let repair = try await store.galley("doctor")
        log.append(repair.output)
        guard repair.succeeded else { throw wrong("\(repair)") }
        let check = try await store.galley("doctor", "--check")
        guard check.succeeded else { throw wrong("\(check)") }
    }

    // MARK: What must hold

    /// Whatever was killed, the next command works.
    mutating func requireWorking() async throws {
        let result = try await store.galley("images", "-q")
        guard result.succeeded else { throw wrong("\(result)") }
        guard try store.leftovers().isEmpty else { throw wrong("left: \(try store.leftovers())") }
    }

    /// Every image that comes out, and every file of it, is what a clean store makes.
    mutating func compare() async throws {
        for recipe in recipes {
            log.append("compare \(recipe.name)")
            do {
                let id = try await store.pinnedBuild(recipe.context, tag: recipe.name)
                guard id == recipe.id else { throw wrong("\(recipe.name) is \(id), not \(recipe.id)") }
                let files = try await Self.files(store, recipe.context, out)
                guard files == recipe.files else {
                    throw wrong("\(recipe.name): \(Difference.all(files, recipe.files))")
                }
            } catch let error as ProgramFailure {
                throw wrong("\(error)")
            }
        }
    }

    func requireCleanEnd() async throws {
        let marker = marker
        try await eventually("all processes of containers end") { try containerProcesses(marker) == 0 }
        let mounts = try String(decoding: readFile(RawPath("/proc/self/mountinfo"), limit: 1 << 24), as: UTF8.self)
        #expect(!mounts.contains(store.directory.path.description))
        try expectNothingLeft(store.leftovers())
        // An image that went out and comes back is the same one.
        let other = try GalleyStore()
        for recipe in recipes {
            try await store.galley("push", recipe.name).get()
            try await other.galley("pull", recipe.name).get()
            #expect(try await other.inspect(recipe.name)["Id"]?.stringValue == recipe.id)
        }
        // Files of outputs that were never finished lie nowhere.
        let directory = try open(out.path, [.directory])
        let left = try readDirectory(directory.raw).map(\.name.description)
        #expect(left.filter { !["app.tar", "saved.tar"].contains($0) && !$0.hasPrefix("app-") } == [])
    }
}
