// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
import Testing

@Suite struct TarReaderTests {
    private static let tree = """
        mkdir -p src/dir/empty; cd src
        printf hello > file; printf '' > none; head -c 3000 /dev/urandom > dir/data
        ln file dir/link; ln -s ../file dir/sym; mkfifo pipe
        chmod 4755 file; chmod 1777 dir; touch -d '2001-02-03 04:05:06.789012345' dir/data; touch -d @0 none
        """

    @Test(arguments: ["v7", "oldgnu", "gnu", "ustar", "pax"], [1, 7, 511, 512, 513, 4096, 1 << 20])
    func readsWhatGNUTarWrites(format: String, chunk: Int) throws {
        let scratch = try ScratchTree()
        try scratch.shell(
            Self.tree + "\n rm -f pipe; tar --sort=name --format=\(format) --numeric-owner -cf ../a.tar ."
        )
        let items = try Collector.read(scratch.bytes("a.tar"), chunk: chunk)
        #expect(
            items.map { $0.entry.path.description } == [
                "./", "./dir/", "./dir/data", "./dir/empty/", "./dir/link", "./dir/sym", "./file", "./none",
            ]
        )
        #expect(items.allSatisfy { $0.ended })
        #expect(try items[2].content == scratch.bytes("src/dir/data"))
        #expect(items[2].entry.metadata.mtime.seconds == 981173106)
        #expect(items[2].entry.metadata.mtime.nanoseconds == (format == "pax" ? 789_012_345 : 0))
        #expect(items[4].content == Array("hello".utf8))
        #expect(items[4].entry.metadata.mode == 0o4755)
        #expect(items[5].entry.metadata.kind == .symlink(target: "../file"))
        #expect(items[6].entry.metadata.kind == .hardLink(target: "./dir/link"))
    }

    @Test(arguments: ["gnu", "pax", "ustar"])
    func longNames(format: String) throws {
        let scratch = try ScratchTree()
        let part = String(repeating: "d", count: 70)
        let long = "\(part)/\(part)/" + String(repeating: "f", count: format == "ustar" ? 60 : 200)
        let target = String(repeating: "t", count: format == "ustar" ? 100 : 300)
        try scratch.shell(
            "mkdir -p \(part)/\(part); echo x > \(long); ln -s \(target) l; tar --format=\(format) -cf a.tar \(long) l"
        )
        let items = try Collector.read(scratch.bytes("a.tar"), chunk: 100)
        #expect(items.map { $0.entry.path.description } == [long, "l"])
        #expect(items[1].entry.metadata.kind == .symlink(target: RawPath(target)))
    }

    @Test(
        arguments: [
            "gnu", "oldgnu", "pax --sparse-version=0.0", "pax --sparse-version=0.1", "pax --sparse-version=1.0",
        ],
        [1, 512, 100_000]
    )
    func sparse(format: String, chunk: Int) throws {
        let scratch = try ScratchTree()
        // Enough regions for several extension headers of the old format.
        try scratch.shell(
            """
            truncate -s 3M holes; for i in $(seq 1 40); do printf "block$i" | dd of=holes bs=1 seek=$((i*65536)) conv=notrunc status=none; done
            truncate -s 1M none; printf end > full; tar --sparse --format=\(format) -cf a.tar holes none full
            """
        )
        let items = try Collector.read(scratch.bytes("a.tar"), chunk: chunk)
        #expect(items.map { $0.entry.path.description } == ["holes", "none", "full"])
        #expect(items[0].entry.metadata.kind == .file(size: 3 << 20))
        #expect(try items[0].content == scratch.bytes("holes"))
        #expect(items[0].holes > 2 << 20)
        #expect(items[1].holes == 1 << 20)
        #expect(items[2].content == Array("end".utf8))
    }

    @Test func numbersBeyondOctal() throws {
        let scratch = try ScratchTree()
        try scratch.shell(
            """
            echo x > f; tar --format=gnu --owner=:3000000000 --group=:4000000000 --mtime=@-5 -cf a.tar f
            tar --format=pax --owner=:3000000000 --group=:4000000000 --mtime='@-5.25' -cf b.tar f
            """
        )
        for (name, time) in [
            ("a.tar", FileTime(seconds: -5)), ("b.tar", FileTime(seconds: -6, nanoseconds: 750_000_000)),
        ] {
            let metadata = try Collector.read(scratch.bytes(name))[0].entry.metadata
            #expect(metadata.uid == 3_000_000_000)
            #expect(metadata.gid == 4_000_000_000)
            #expect(metadata.mtime == time)
        }
    }

    @Test func pythonOddities() throws {
        let scratch = try ScratchTree()
        try scratch.shell(
            """
            python3 - <<'P'
            import tarfile, io
            t = tarfile.open("a.tar", "w", format=tarfile.PAX_FORMAT, pax_headers={"uid": "77", "comment": "global", "path": "evil"})
            def add(name, data=b"", **kw):
                i = tarfile.TarInfo(name)
                i.size = len(data)
                for k, v in kw.items(): setattr(i, k, v)
                t.addfile(i, io.BytesIO(data))
            add("plain", b"1")
            add("own", b"22", pax_headers={"uid": "5", "mtime": "1.000000001", "SCHILY.xattr.user.a": "b=c\\n"})
            add("archive", b"", pax_headers={"LIBARCHIVE.xattr.user.x%3Dy": "aGVsbG8", "SCHILY.xattr.user.p%3Dq": "v"})
            add("contiguous", b"333", type=tarfile.CONTTYPE)
            add("olddir/", type=tarfile.AREGTYPE)
            t.close()
            P
            """
        )
        let items = try Collector.read(scratch.bytes("a.tar"), chunk: 37)
        #expect(items.map { $0.entry.path.description } == ["plain", "own", "archive", "contiguous", "olddir/"])
        #expect(items.map { $0.entry.metadata.uid } == [77, 5, 77, 77, 77])
        #expect(items[1].entry.metadata.mtime == FileTime(seconds: 1, nanoseconds: 1))
        #expect(items[1].entry.metadata.xattrs == [ExtendedAttribute(name: "user.a", value: Array("b=c\n".utf8))])
        #expect(
            Set(items[2].entry.metadata.xattrs) == [
                ExtendedAttribute(name: "user.x=y", value: Array("hello".utf8)),
                ExtendedAttribute(name: "user.p=q", value: Array("v".utf8)),
            ]
        )
        #expect(items[3].content == Array("333".utf8))
        #expect(items[4].entry.metadata.kind == .directory)
    }

    @Test func closing() throws {
        let whole = try tar([file("a", "hello")])
        #expect(try Collector.read(Array(whole.dropLast(1024))).count == 1)
        #expect(try Collector.read(Array(whole.dropLast(512))).count == 1)
        #expect(try Collector.read(whole + Array("garbage".utf8)).count == 1)
        #expect(try Collector.read([]).isEmpty)
        // Without the last padding, as some writers leave it.
        #expect(try Collector.read(Array(whole.prefix(512 + 5))).count == 1)
        expectError(.malformed) { _ = try Collector.read(Array(whole.dropLast(512)) + whole) }
    }

    @Test func signedChecksum() throws {
        var bytes = try tar([file("n\u{e9}", "x")])
        // Past the PAX header: the name field gets a high byte, the checksum its signed sum.
        let start = 1024
        bytes[start] = 0xe9
        var sum = 0
        for index in 0..<512 {
            sum += (148..<156).contains(index) ? 32 : Int(Int8(bitPattern: bytes[start + index]))
        }
        let text = String(sum, radix: 8)
        let digits = Array((String(repeating: "0", count: 6 - text.utf8.count) + text).utf8)
        bytes.replaceSubrange((start + 148)..<(start + 154), with: digits)
        #expect(try Collector.read(bytes).count == 1)
        bytes[start + 150] ^= 1
        expectError(.checksum) { _ = try Collector.read(bytes) }
    }
}
