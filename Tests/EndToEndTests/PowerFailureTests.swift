// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import Testing

/// The power fails: a copy of the disk has what was written to it and nothing of what was still in memory.
///
/// The disk is a file with a file system of its own; a copy of it is mounted on a machine that was started anew.
@Suite(
    .endToEnd,
    .needs(program: "unshare"),
    .needs(program: "mkfs.ext4"),
    .enabled(if: (try? status(at: workingDirectory, "/dev/loop-control")) != nil, "no loop devices")
)
struct PowerFailureTests {
    private static let dockerfile = """
        FROM alpine AS kitchen
        COPY tree /tree
        RUN cat /tree/1 /tree/2 > /made && touch -d @1000000000 /made
        FROM alpine
        COPY --from=kitchen /made /made
        COPY tree /tree
        RUN cp /made /copy && touch -d @1000000000 /copy

        """

    /// `disk` mounts a disk, `fail` goes on with a copy of it on another start of the machine.
    private static let functions = """
        disk() { mkdir "$root-$1"; mount -o loop,noatime "$root-$1.img" "$root-$1"; store="$root-$1/store"; }
        fail() {
            cp --sparse=always "$root-$1.img" "$root-$2.img"
            disk $2
            cat /proc/sys/kernel/random/uuid > "$root-boot-$2"
            mount --bind "$root-boot-$2" /proc/sys/kernel/random/boot_id
        }
        galley() { "$binary" --root "$store" "$@"; }
        build() { galley build --progress plain --build-arg SOURCE_DATE_EPOCH=1000000000 -t app "$@" "$context"; }
        truncate -s 400M "$root-one.img"; mkfs.ext4 -q -F "$root-one.img"
        disk one
        mkdir "$store"; cp -a "$root/." "$store"; sync -f "$store"

        """

    private func run(_ script: String) async throws -> (result: ProgramResult, id: String, files: String) {
        let store = try await GalleyStore.pinned()
        let context = try BuildContext(Self.dockerfile)
        try context.directory.shell(
            """
            mkdir tree; for i in $(seq 300); do head -c 5000 /dev/zero | tr '\\0' $((i % 10)) > tree/$i; done
            head -c 3000000 /dev/zero | tr '\\0' x > tree/big; find . -exec touch -d @1000000000 {} +
            """
        )
        let clean = try await GalleyStore.pinned()
        let out = try ScratchDirectory()
        let id = try await clean.pinnedBuild(context, tag: "app")
        try await clean.galley("build", "-o", "type=tar,dest=\(out.file("clean.tar"))", context.path).get()
        var environment = store.environment
        environment["root"] = store.root.description
        environment["context"] = context.path
        environment["binary"] = TestInstallation.binary
        let result = try await runProgram(
            "/usr/bin/env",
            [
                "unshare", "--mount", "--propagation", "private", "/bin/bash", "-euo", "pipefail", "-c",
                Self.functions + script,
            ],
            environment: environment,
            within: hangLimit * 4
        )
        let sum = try await runProgram("/bin/sh", ["-c", "tar -xOf '\(out.file("clean.tar"))' | sha256sum"])
        return (result, id, sum.output)
    }

    @Test("what a build has reported as done is there after a power failure")
    func whatWasDoneStays() async throws {
        let (result, id, files) = try await run(
            """
            build > /dev/null 2>&1
            fail one two
            # Removes what the build had in tmp/ when the power failed.
            galley images -q > /dev/null
            galley doctor --check >&2
            build --iidfile "$root-id" > "$root-log" 2>&1
            ! grep -E '^#[0-9]+ .*(hashing|exit code)' "$root-log" >&2
            echo "cached $(grep -c CACHED "$root-log")"
            galley build -o type=tar,dest="$root-out.tar" "$context" > /dev/null 2>&1
            tar -xOf "$root-out.tar" | sha256sum
            cat "$root-id"
            """
        )
        #expect(result.succeeded, "\(result)")
        // The base image and the five steps.
        #expect(result.output.hasPrefix("cached 6\n"), "\(result)")
        #expect(result.output.contains(files), "\(result)")
        #expect(result.output.hasSuffix(id), "\(result)")
    }

    /// The last step's layer is there as its archive, and then as a directory that was made of it.
    @Test("a layer that was unpacked is there after a power failure")
    func whatWasUnpackedStays() async throws {
        let (result, _, _) = try await run(
            """
            sed -i '$s,.*,COPY tree /last,' "$context/Dockerfile"
            build > /dev/null 2>&1
            fail one two
            ls -d "$store"/snapshots/*/layer.tar | wc -l
            galley run --rm app sh -c 'cat /last/* | sha256sum'
            fail two three
            galley images -q > /dev/null
            galley doctor --deep --check >&2
            galley run --rm app sh -c 'cat /last/* | sha256sum'
            cat "$context"/tree/* | sha256sum
            find "$store/snapshots" -maxdepth 2 -name layer.tar | wc -l
            """
        )
        #expect(result.succeeded, "\(result)")
        let lines = result.output.split(separator: "\n").map(String.init)
        try #require(lines.count == 5, "\(result)")
        #expect(lines[0] == "1" && lines[4] == "0", "\(result)")
        #expect(lines[1] == lines[3] && lines[2] == lines[3], "\(result)")
    }

    /// The database's log stays where it is when a program ends, so nothing else brings these to the disk.
    @Test("names that were given and taken are so after a power failure")
    func namesStay() async throws {
        let (result, _, _) = try await run(
            """
            build > /dev/null 2>&1
            galley tag app second
            galley build -q -t third --build-arg SOURCE_DATE_EPOCH=1000000000 "$context" > /dev/null
            fail one two
            echo $(galley images --format '{{.Repository}}' | sort)
            galley rmi second > /dev/null
            fail two three
            echo $(galley images --format '{{.Repository}}' | sort)
            """
        )
        #expect(result.succeeded, "\(result)")
        let lines = result.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        try #require(lines.count == 2, "\(result)")
        #expect(Set(lines[0]).isSuperset(of: ["app", "second", "third"]), "\(result)")
        #expect(lines[1] == lines[0].filter { $0 != "second" }, "\(result)")
    }

    @Test("what a build was about to do does no harm after a power failure")
    func whatWasNotDoneIsDoneAgain() async throws {
        let (result, id, files) = try await run(
            """
            for round in 1 2 3 4 5 6; do
                build --no-cache > /dev/null 2>&1 &
                sleep 0.$((round * 15 % 60 + 10))
                # The database and all names are on disk, and of most files nothing but these.
                sync "$store/galley.db-wal" || true
                fail one $round
                kill -9 $! 2> /dev/null || true; wait
                build --iidfile "$root-id" > /dev/null 2>&1
                echo "$(cat "$root-id")"
                galley build -o type=tar,dest="$root-out.tar" "$context" > /dev/null 2>&1
                tar -xOf "$root-out.tar" | sha256sum
                galley doctor >&2
                galley doctor --check >&2
                umount "$root-$round"; rm "$root-$round.img"
                store="$root-one/store"
            done
            """
        )
        #expect(result.succeeded, "\(result)")
        let lines = result.output.split(separator: "\n").map(String.init)
        #expect(lines.count == 12, "\(result)")
        for (number, line) in lines.enumerated() {
            #expect(line == (number % 2 == 0 ? id : files.split(separator: "\n").joined()), "\(result)")
        }
    }
}
