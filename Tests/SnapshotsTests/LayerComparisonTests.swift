// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import Snapshots
import Testing

@Suite(.enabled(if: isRoot, "device files need root"))
struct LayerComparisonTests {
    private static let common = """
        mkdir -p d/e; head -c 200000 /dev/zero > d/big; echo text > d/text; ln -s text d/link; ln d/text d/two
        mkfifo pipe; mknod null c 1 3; mknod -m 0 gone c 0 0; setfattr -n user.a -v 1 d/text
        """

    private func layer(_ store: TestStore, _ script: String) throws -> SnapshotID {
        let pending = try store.snapshots.begin()
        // The time of everything, before what the case does about it.
        try store.scratch.shell(
            """
            cd \(pending.directoryPath)
            \(Self.common)
            find . -exec touch -h -d @1000000000 {} +
            \(script)
            """
        )
        return try store.snapshots.publish(pending)
    }

    private func compare(
        _ one: String,
        _ other: String,
        epoch: Int64? = nil
    ) throws -> LayerComparison {
        let store = try TestStore()
        return try store.snapshots.compare(
            layer(store, one),
            layer(store, other),
            epoch: epoch.map { FileTime(seconds: $0) },
            CancellationFlag()
        )
    }

    @Test func equalLayers() throws {
        #expect(try compare("", "touch -d @5 .").first == nil)
        // Holes are zeros to whoever reads them.
        #expect(try compare("", "truncate -s 0 d/big; truncate -s 200000 d/big; touch -d @1000000000 d/big").count == 0)
    }

    @Test(arguments: [
        (
            "printf X | dd of=d/big bs=1 seek=150000 conv=notrunc status=none", "d/big",
            "content from byte 150000 (200000 bytes)"
        ),
        ("echo more >> d/text", "d/text", "content from byte 5 (5 and 10 bytes)"),
        ("chmod 4600 d/text", "d/text", "mode 644 and 4600"),
        ("chown 7:8 d/e", "d/e", "owner 0:0 and 7:8"),
        ("ln -sfn other d/link", "d/link", "symlink to text and symlink to other"),
        ("rm null; mknod null c 1 5", "null", "character device 1:3 and character device 1:5"),
        ("rm pipe; echo > pipe", "pipe", "pipe and file"),
        ("rm d/big; mknod -m 0 d/big c 0 0", "d/big", "file and removed"),
        ("rm gone", "gone", "missing: removed from below only in the first build"),
        ("mknod -m 0 more c 0 0", "more", "added: removed from below only in the second build"),
        ("rm d/big", "d/big", "missing: there only in the first build"),
        ("echo > new", "new", "added: there only in the second build"),
        ("setfattr -n user.a -v 2 d/text", "d/text", "attribute user.a"),
        ("setfattr -x user.a d/text", "d/text", "attribute user.a only in the first build"),
        ("setfattr -n user.b -v 2 d/text", "d/text", "attribute user.b only in the second build"),
        ("setfattr -n trusted.overlay.opaque -v y d/e", "d/e", "only in the second build what it held below is gone"),
        ("rm d/two; cp -p d/text d/two", "d/two", "hard link and file"),
    ])
    func oneDifference(_ script: String, _ path: String, _ aspect: String) throws {
        let result = try compare("", "\(script)\nfind . -exec touch -h -d @1000000000 {} +")
        let first = try #require(result.first)
        #expect(first.path.description == path)
        #expect(first.aspects == [aspect])
        #expect(!first.isOnlyTime && result.firstBeyondTime == first)
        #expect(result.count == 1 && result.timeOnlyCount == 0)
    }

    @Test func times() throws {
        let late =
            "touch -d @1000000007.5 d/big; touch -d @1000000007 d/text; echo new >> d/text; touch -d @1000000009 d/text"
        let result = try compare("", late)
        #expect(result.count == 2 && result.timeOnlyCount == 1)
        #expect(result.first?.path == "d/big")
        #expect(result.first?.aspects == ["time 1000000000 and 1000000007.500000000"])
        #expect(result.first?.isOnlyTime == true)
        #expect(
            result.firstBeyondTime?.aspects == [
                "content from byte 5 (5 and 9 bytes)", "time 1000000000 and 1000000009",
            ]
        )
        let clamped = try compare("", late, epoch: 1_000_000_000)
        #expect(clamped.count == 1)
        #expect(clamped.first?.aspects == ["content from byte 5 (5 and 9 bytes)"])
        #expect(try compare("", "touch -d @999999999 d/e", epoch: 1_000_000_000).first?.isOnlyTime == true)
    }
}
