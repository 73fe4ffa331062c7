// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Testing

/// Stores that were damaged behind Galley's back: `galley doctor` tells, repairs, and what is built then is right.
@Suite(.endToEnd) struct DoctorTests {
    /// One way to damage a store: a script with the store as its working directory.
    struct Damage: Sendable, CustomTestStringConvertible {
        var name: String
        var script: String
        /// What the report has to say.
        var report: [String]
        /// Only reading all content finds it.
        var isDeep = false
        var testDescription: String { name }
    }

    /// `$layer` is the number of the layer that the RUN step made, `$config` the file of the image's config.
    private static let prologue = """
        layer=$(dirname "$(dirname "$(echo snapshots/*/fs/made)")"); layer=${layer#snapshots/}
        config=blobs/sha256/$id

        """

    static let damages: [Damage] = [
        Damage(
            name: "a layer's directory is gone",
            script: "rm -r snapshots/$layer",
            report: [
                "layer $layer: its directory is gone", "image app:latest: lost its layer 2 of 4", "build it again",
            ]
        ),
        Damage(
            name: "a layer was emptied",
            script: "rm -r snapshots/$layer/fs/*",
            report: [
                "layer $layer: its root directory was changed", "image app:latest: lost its layer",
                "build cache: its results may have been made with layers that were altered", "done: emptied it",
            ]
        ),
        Damage(
            name: "a file deep in a layer was changed",
            script:
                "echo other > snapshots/$layer/fs/made/deep/file; touch -d @1000000000 snapshots/$layer/fs/made/deep/file",
            report: ["layer $layer: \"/made", "image app:latest: lost its layer"]
        ),
        Damage(
            name: "a copied store with a layer whose bytes are others",
            script: """
                cp -a . ../copy; cd ../copy; file=snapshots/$layer/fs/made/deep/file
                printf x | dd of=$file conv=notrunc status=none; touch -d @1000000000 $file
                cd ..; mv root root-before; mv copy root
                """,
            report: ["layer $layer: its files are not what its digest was made of"],
            isDeep: true
        ),
        Damage(
            name: "an image's config was damaged",
            script: "printf x | dd of=$config conv=notrunc status=none",
            report: [
                "blob sha256:$id: its content is not what it was stored with", "image app:latest: its config is gone",
            ]
        ),
        Damage(
            name: "an image's config is gone",
            script: "rm $config",
            report: ["image app:latest: its config is gone", "done: removed the name", "next: build it again"]
        ),
        Damage(
            name: "a stray file among the blobs, a stray layer, leftovers of the dead",
            script:
                "echo x > blobs/sha256/x; mkdir -p snapshots/9999/fs tmp/owner-x/y; touch tmp/owner-x.lock tmp/stray",
            report: [
                "blobs/sha256/x: it is no blob", "snapshots: 1 directories belong to no layer: 9999",
                "tmp: unfinished work of 2 dead processes",
            ]
        ),
        Damage(
            name: "directories open to everybody, gone, or no directories",
            script: "chmod 777 snapshots; rm -r blobs/sha512; rm -r tmp; touch tmp",
            report: ["snapshots: its mode is 777", "blobs/sha512: the directory is gone", "tmp: it is no directory"]
        ),
        Damage(
            name: "a cache mount without its directory",
            script: "rm -r cache-mounts/*-0/fs",
            report: ["the directory of a cache mount is damaged"]
        ),
        Damage(
            name: "rows that lead nowhere, or elsewhere",
            script: """
                sqlite3 galley.db "UPDATE cache_records SET payload = CAST('1 ' || substr(payload, 3) AS BLOB);
                    INSERT INTO chains VALUES ('sha256:x', 777); INSERT INTO cache_keys VALUES ('k', 777);
                    UPDATE images SET config = 'nonsense' WHERE name LIKE '%/app:latest'"
                """,
            report: [
                "records are damaged or lead to layers that are gone", "galley.db: names of layers that are gone",
                "image docker.io/library/app:latest: its record is damaged",
            ]
        ),
        Damage(
            name: "a git repository without an object",
            script: """
                git init -q --bare git/x.git; hash=$(echo x | git --git-dir git/x.git hash-object -w --stdin)
                git --git-dir git/x.git update-ref refs/galley/x $hash
                rm git/x.git/objects/${hash:0:2}/${hash:2}
                """,
            report: ["git/x.git: what is kept of a git repository is damaged"]
        ),
    ]

    private static func context() throws -> BuildContext {
        try BuildContext(
            """
            FROM alpine
            RUN mkdir -p /made/deep && echo made > /made/deep/file && touch -d @1000000000 /made/deep/file /made/deep /made
            COPY file /copied
            RUN --mount=type=cache,target=/c cat /copied /made/deep/file > /both && touch -d @1000000000 /both
            """,
            ["file": "copied\n"]
        )
    }

    @Test(arguments: damages)
    func findsAndRepairs(_ damage: Damage) async throws {
        let store = try await GalleyStore.pinned()
        let context = try Self.context()
        let id = try await store.pinnedBuild(context, tag: "app")
        let values = try await damagedStore(store, damage.script, id)
        let options = damage.isDeep ? ["--deep"] : []
        if damage.isDeep { #expect(try await store.galley("doctor", "--check").status == 0) }
        for _ in 0..<2 {
            // Looking changes nothing.
            let seen = try await store.galley(["doctor", "--check"] + options)
            #expect(seen.status == 1, "\(seen)")
            #expect(!seen.output.contains("done:"))
            for text in damage.report where !text.contains("done:") {
                #expect(seen.output.contains(values.expand(text)), "\(seen)")
            }
        }
        let repaired = try await store.galley(["doctor"] + options).get()
        for text in damage.report { #expect(repaired.output.contains(values.expand(text)), "\(repaired)") }
        #expect(repaired.output.hasSuffix("and repaired all.\n"))
        try await Self.expectSound(store)
        #expect(try await store.pinnedBuild(context, tag: "app") == id)
        #expect(try await store.shell("app", "cat /both") == "copied\nmade\n")
        try await Self.expectSound(store)
    }

    private struct Values {
        var layer: String
        var id: String
        func expand(_ text: String) -> String {
            text.replacing("$layer", with: layer).replacing("$id", with: id)
        }
    }

    private func damagedStore(_ store: GalleyStore, _ script: String, _ id: String) async throws -> Values {
        let digits = String(id.dropFirst("sha256:".count))
        let output = try await runScript(
            "id=$1\n" + Self.prologue + "echo $layer\n" + script,
            [digits],
            environment: GitServer.environment,
            directory: store.root
        )
        return Values(layer: String(output.prefix { $0 != "\n" }), id: digits)
    }

    static func expectSound(_ store: GalleyStore, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let after = try await store.galley("doctor", "--check", "--deep")
        #expect(after.status == 0, "\(after)", sourceLocation: sourceLocation)
        #expect(after.output.hasSuffix("The store is sound.\n"), "\(after)", sourceLocation: sourceLocation)
    }

    @Test("a sound store: text and JSON")
    func soundStore() async throws {
        let store = try await GalleyStore.pinned()
        try await Self.expectSound(store)
        let report = try JSONValue(parsing: await store.galley("doctor", "--format", "json").get().outputBytes)
        #expect(report["sound"] == true && report["findings"] == [])
        #expect(report["looked_at"]?["images"] == 1)
        #expect(try await store.galley("doctor", "--format", "xml").status == 1)
        // Where there is no store there is nothing wrong, and none is made.
        let none = try GalleyStore()
        #expect(try await none.galley("doctor", "--check").status == 0)
        #expect(!TestInstallation.exists(none.root.description))
    }

    // MARK: The database

    static let databaseDamages: [(name: String, script: String, keepsNames: Bool)] = [
        ("garbage at the start", "head -c 4096 /dev/urandom | dd of=galley.db conv=notrunc status=none", true),
        ("no file", "rm galley.db", false),
        ("half of the file", "truncate -s $(($(stat -c %s galley.db) / 8192 * 4096)) galley.db", false),
        (
            "the table of cache records overwritten",
            """
            page=$(sqlite3 galley.db "SELECT rootpage FROM sqlite_master WHERE name = 'cache_records'")
            head -c 4096 /dev/urandom | dd of=galley.db bs=4096 seek=$((page - 1)) conv=notrunc status=none
            """, true
        ),
        (
            "the index of names zeroed",
            """
            page=$(sqlite3 galley.db "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_images_1'")
            head -c 4096 /dev/zero | dd of=galley.db bs=4096 seek=$((page - 1)) conv=notrunc status=none
            """, true
        ),
        ("a table dropped", "sqlite3 galley.db 'DROP TABLE chains'", true),
    ]

    /// Pages that are still in the log would hide the damage, and mend it when they are moved to the file.
    private static let checkpoint = "sqlite3 galley.db 'PRAGMA wal_checkpoint(TRUNCATE)' > /dev/null\n"

    @Test(.needs(program: "sqlite3"), arguments: databaseDamages.indices)
    func damagedDatabases(_ index: Int) async throws {
        let damage = Self.databaseDamages[index]
        let store = try await GalleyStore.pinned()
        let context = try Self.context()
        let id = try await store.pinnedBuild(context, tag: "app")
        try await runScript(
            Self.checkpoint + damage.script + "\nrm -f galley.db-wal galley.db-shm",
            directory: store.root
        )
        let check = try await store.galley("doctor", "--check")
        #expect(check.status == 1 && check.output.contains("galley.db: "), "\(check)")
        if index != 1 {
            // What needs the damaged table names the way out; nothing is made up.
            let result = try await store.tryBuild(context, ["-t", "app", "--build-arg", GalleyStore.epoch])
            #expect(result.succeeded || result.errors.contains("galley doctor"), "\(damage.name): \(result)")
        }
        let repaired = try await store.galley("doctor").get()
        #expect(repaired.output.contains("galley.db: "), "\(repaired)")
        try await Self.expectSound(store)
        let names = try await store.galley("images", "--format", "{{.Repository}}").get().output
        if damage.keepsNames {
            #expect(names == "app\nalpine\n", "\(damage.name): \(repaired)")
            #expect(try await store.shell("app", "cat /both") == "copied\nmade\n")
            // Of the layers that were saved as much is known as of others.
            try await runScript("echo other > $(echo snapshots/*/fs/made/deep/file)", directory: store.root)
            let altered = try await store.galley("doctor").get()
            #expect(altered.output.contains("was changed after the layer was made"), "\(damage.name): \(altered)")
        }
        try await store.addPinnedBase()
        #expect(try await store.pinnedBuild(context, tag: "app") == id)
        #expect(try await store.shell("app", "cat /both") == "copied\nmade\n")
        try await Self.expectSound(store)
    }

    @Test("a damaged database waits for who uses the store")
    func damagedDatabaseInUse() async throws {
        let store = try await GalleyStore.pinned()
        let marker = newMarker()
        let program = try store.start(["run", "--rm", "alpine", "sh", "-c", "sleep 600; : \(marker)"])
        try await eventually("the container runs") { try containerProcesses(marker) > 0 }
        try await runScript(
            Self.checkpoint + "head -c 4096 /dev/urandom | dd of=galley.db conv=notrunc status=none",
            directory: store.root
        )
        let result = try await store.galley("doctor")
        #expect(result.status == 1)
        #expect(result.output.contains("other galley processes use the store"), "\(result)")
        program.send(SIGTERM)
        _ = try await program.finish()
        try await store.galley("doctor").get()
        try await Self.expectSound(store)
    }

    @Test("a pulled image that lost the archive of its layer is fetched again", arguments: [false, true])
    func lostArchive(isTreeGone: Bool) async throws {
        let registry = try FakeRegistry()
        let store = try GalleyStore()
        // No archive of Galley's own has this order.
        let tar = try TarBuilder {
            try $0.file("b", "1")
            try $0.file("a", "2")
        }.bytes()
        let name = "\(registry.host)/app"
        try registry.addImage("app", tar)
        try await store.galley("pull", name).get()
        try await runScript(
            isTreeGone
                ? "rm -r snapshots/1"
                : "for blob in blobs/sha256/*; do [ \"$(head -c 2 $blob | od -An -tx1)\" != ' 1f 8b' ] || rm $blob; done",
            directory: store.root
        )
        let archive = store.directory.file("app.tar").description
        if !isTreeGone {
            let result = try await store.galley("save", "-o", archive, name)
            #expect(result.errors.contains("galley doctor"), "\(result)")
        }
        let report = try await store.galley("doctor").get().output
        #expect(report.contains("image \(name):latest: lost") && report.contains("galley pull \(name)"), "\(report)")
        try await Self.expectSound(store)
        try await store.galley("pull", name).get()
        try await store.galley("save", "-o", archive, name).get()
        try await Self.expectSound(store)
    }

    @Test("what runs keeps its layers while the doctor forgets them")
    func besideARunningContainer() async throws {
        let store = try await GalleyStore.pinned()
        let marker = newMarker()
        let script = "while [ ! -e /go ]; do sleep 0.05; done; cat /etc/alpine-release; : \(marker)"
        let files = try ScratchDirectory()
        let program = try store.start([
            "run", "--rm", "-v", "\(files.path):/outer", "alpine", "sh", "-c",
            script.replacing("/go", with: "/outer/go"),
        ])
        try await eventually("the container runs") { try containerProcesses(marker) > 0 }
        try await runScript("touch snapshots/1/fs/new", directory: store.root)
        let report = try await store.galley("doctor")
        #expect(report.output.contains("layer 1: its root directory was changed"), "\(report)")
        #expect(TestInstallation.exists("\(store.root)/snapshots/1/fs/etc"))
        try files.shell("touch go")
        let result = try await program.finish()
        #expect(result.succeeded, "\(result)")
        try await store.galley("doctor").get()
        #expect(!TestInstallation.exists("\(store.root)/snapshots/1"))
        try await Self.expectSound(store)
    }
}
