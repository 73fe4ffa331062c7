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
        do {
            var rounds = 0
            while chaos.kills < Self.kills {
                rounds += 1
                try await chaos.killSome()
                if rounds % 2 == 0 { try await chaos.requireWorking() }
                if rounds % 6 == 0 {
                    // What only killing left is right without the doctor.
                    try await chaos.compare()
                    try await chaos.examine()
                } else if rounds % 6 == 3 {
                    try await chaos.damage()
                    try await chaos.examine()
                    try await chaos.compare()
                }
            }
            try await chaos.examine()
            try await chaos.compare()
            try await chaos.requireCleanEnd()
        } catch {
            throw chaos.wrong(error)
        }
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
        let rounds = 14
        let script = """
            small=$root-small; mkdir "$small"; mount -t tmpfs -o size=40m none "$small"; cp -a "$root/." "$small"
            galley() { "$binary" --root "$small" "$@"; }
            build() { galley build --progress plain --build-arg SOURCE_DATE_EPOCH=1000000000 -t app "$@" "$context"; }
            for round in $(seq \(rounds)); do
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
            environment: environment,
            within: hangLimit * rounds
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
    struct Recipe: Sendable {
        var context: BuildContext
        var name: String
        var id = ""
        var files: [String: String] = [:]
    }

    /// A kind of command.
    enum Work { case build, wholeBuild, archive, tree, push, pull, untag, prune, pruneAll, save, doctor }

    let seed: UInt64
    var dice: ChaosTests.Dice
    var kills = 0
    /// The longest times after which programs are killed. Follows how long they take here and now: most are killed, at
    /// any moment of their work, on fast machines and on slow ones.
    var spans: [Work: Duration] = [:]
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
            (recipe.id, recipe.files) = try await Self.make(recipe, clean, out)
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

    /// The image that a store makes, and its files.
    private static func make(_ recipe: Recipe, _ store: GalleyStore, _ out: ScratchDirectory) async throws
        -> (id: String, files: [String: String])
    {
        let place = out.file("tree-\(UInt64.random(in: 0 ... .max))")
        let outputs = ["-o", "type=image", "-o", "type=local,dest=\(place)"]
        let id = try await store.pinnedBuild(recipe.context, tag: recipe.name, outputs)
        defer { try? removeTree(place) }
        return (id, try treeFacts(place))
    }

    struct Wrong: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    /// The error, with how to see it again.
    func wrong(_ error: any Error) -> Wrong {
        Wrong("\(error)\nGALLEY_TEST_CHAOS_SEED=\(seed), after:\n\(log.suffix(40).joined(separator: "\n"))")
    }

    // MARK: Killing

    private mutating func command() -> (work: Work, arguments: [String]) {
        let recipe = recipes[Int.random(in: 0..<recipes.count, using: &dice)]
        let build = ["build", "--progress", "plain", "--build-arg", GalleyStore.epoch]
        switch Int.random(in: 0..<16, using: &dice) {
        case 0..<3: return (.build, build + ["-t", recipe.name, recipe.context.path])
        case 3..<6: return (.wholeBuild, build + ["--no-cache", "-t", recipe.name, recipe.context.path])
        case 6: return (.archive, build + ["-o", "type=oci,dest=\(out.file("app.tar"))", recipe.context.path])
        case 7: return (.tree, build + ["-o", "type=local,dest=\(out.file("app-\(log.count)"))", recipe.context.path])
        case 8, 9: return (.push, build + ["-t", recipe.name, "--push", recipe.context.path])
        case 10: return (.pull, ["pull", "\(proxy.host)/base"])
        case 11: return (.untag, ["rmi", "-f", recipe.name])
        case 12: return (.prune, ["prune", "-f"])
        case 13: return (.pruneAll, ["prune", "-a", "-f"])
        case 14: return (.save, ["save", "-o", out.file("saved.tar").description, recipe.name])
        default: return (.doctor, ["doctor"])
        }
    }

    /// Starts up to four programs at once and kills them, each at a moment of its own.
    mutating func killSome() async throws {
        let isCut = Int.random(in: 0..<4, using: &dice) == 0
        proxy.cut(after: isCut ? Int.random(in: 0..<400_000, using: &dice) : nil)
        if isCut { log.append("connections are cut") }
        var running: [(work: Work, end: Task<(result: ProgramResult, time: Duration), any Error>)] = []
        for _ in 0..<Int.random(in: 2...4, using: &dice) {
            let (work, arguments) = command()
            let delay = spans[work, default: .seconds(1)] * Int.random(in: 0...1000, using: &dice) / 1000
            log.append("kill after \(delay): \(arguments.joined(separator: " "))")
            let (program, start) = (try store.start(arguments), ContinuousClock.now)
            running.append((work, Task { (try await program.finish(killedAfter: delay), .now - start) }))
        }
        for (work, end) in running {
            let (result, time) = try await end.value
            let span = spans[work, default: .seconds(1)]
            if result.status == 128 + SIGKILL {
                kills += 1
                spans[work] = span * 1.1
            } else {
                spans[work] = (span + time * 1.2) / 2
                if !isCut, !result.succeeded { try excuse(result) }
            }
        }
        proxy.cut(after: nil)
    }

    /// A program that ended by itself may have failed only for what the others took from it.
    private func excuse(_ result: ProgramResult) throws {
        let reasons = [
            "No such image", "is gone", "are gone", "was removed", "cannot be opened", "is not in the store",
        ]
        guard reasons.contains(where: result.errors.contains) else { throw Wrong("\(result)") }
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
        guard repair.succeeded else { throw Wrong("\(repair)") }
        let check = try await store.galley("doctor", "--check")
        guard check.succeeded else { throw Wrong("\(check)") }
    }

    // MARK: What must hold

    /// Whatever was killed, the next command works.
    mutating func requireWorking() async throws {
        let result = try await store.galley("images", "-q")
        guard result.succeeded else { throw Wrong("\(result)") }
        try await requireNothingLeft()
    }

    private func requireNothingLeft() async throws {
        guard try !store.leftovers().isEmpty else { return }
        let list = try await runProgram("/usr/bin/find", [store.root.appending("tmp").description, "-ls"])
        throw Wrong("left: \(list.output)")
    }

    /// Every image that comes out, and every file of it, is what a clean store makes.
    mutating func compare() async throws {
        log.append("compare")
        try await withThrowingTaskGroup(of: Void.self) { [recipes, store, out] group in
            for recipe in recipes {
                group.addTask {
                    let (id, files) = try await Self.make(recipe, store, out)
                    guard id == recipe.id else { throw Wrong("\(recipe.name) is \(id), not \(recipe.id)") }
                    guard files == recipe.files else {
                        throw Wrong("\(recipe.name): \(Difference.all(files, recipe.files))")
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    func requireCleanEnd() async throws {
        let marker = marker
        try await eventually("all processes of containers end") { try containerProcesses(marker) == 0 }
        let mounts = try String(decoding: readFile(RawPath("/proc/self/mountinfo"), limit: 1 << 24), as: UTF8.self)
        guard !mounts.contains(store.directory.path.description) else { throw Wrong("mounted: \(mounts)") }
        try await requireNothingLeft()
        // An image that went out and comes back is the same one.
        let other = try GalleyStore()
        for recipe in recipes {
            try await store.galley("push", recipe.name).get()
            try await other.galley("pull", recipe.name).get()
            let id = try await other.inspect(recipe.name)["Id"]?.stringValue
            guard id == recipe.id else { throw Wrong("\(recipe.name) came back as \(id ?? "nothing")") }
        }
        // Files of outputs that were never finished lie nowhere; one under a temporary name, of a process that died between
        // two calls, goes with the next output there.
        let directory = try open(out.path, [.directory])
        let names = { try readDirectory(directory.raw).map(\.name.description) }
        for name in try names() where name.hasPrefix(".") {
            guard let end = name.firstRange(of: ".galley-")?.lowerBound else { continue }
            let output = out.file(String(name[name.index(after: name.startIndex)..<end])).description
            try await store.galley("save", "-o", output, recipes[0].name).get()
        }
        let left = try names().filter { !["app.tar", "saved.tar"].contains($0) && !$0.hasPrefix("app-") }
        guard left.isEmpty else { throw Wrong("unfinished outputs: \(left)") }
    }
}
