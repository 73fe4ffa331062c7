// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import OCI
import Testing

/// COPY, ADD, WORKDIR and .dockerignore: what ends up in the tree.
@Suite(.endToEnd) struct FileInstructionTests {
    private static let shared = SharedStore()

    /// `find`'s view of a directory of the image: one line a file with type, mode, owner and path.
    private func listing(_ image: String, _ directory: String) async throws -> [String] {
        let store = try await Self.shared.get()
        let script = "cd \(directory) && find . -exec stat -c '%F %a %u:%g %n' {} +"
        return try await store.shell(image, script).split(separator: "\n").map(String.init).sorted()
    }

    @Test("every form of COPY: files, directories' content, wildcards, JSON, links, --chown, --chmod")
    func copyForms() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            """
            FROM alpine:latest
            WORKDIR /out
            COPY a.txt renamed
            COPY a.txt dir/
            COPY a.txt b.txt many/
            COPY tree tree
            COPY tree/ flat/
            COPY *.txt wild/
            COPY tree/**/deep.txt ./deep/
            COPY ["with space.md", "json/"]
            COPY --chown=12:34 --chmod=0600 a.txt owned
            COPY --chown=root:daemon tree named
            COPY --chmod=750 tree moded
            """,
            [
                "a.txt": "a", "b.txt": "b", "with space.md": "s", "tree/one": "1", "tree/sub/deep.txt": "deep",
            ]
        )
        try await runScript("ln -s one tree/link; chmod 755 tree/one", directory: context.directory.path)
        try await store.build(context, tag: "copies")
        #expect(
            try await listing("copies", "/out").filter { !$0.hasPrefix("directory 755 0:0") } == [
                "directory 750 0:0 ./moded", "directory 750 0:0 ./moded/sub",
                "directory 755 0:2 ./named", "directory 755 0:2 ./named/sub",
                "regular file 600 12:34 ./owned",
                "regular file 644 0:0 ./deep/deep.txt", "regular file 644 0:0 ./dir/a.txt",
                "regular file 644 0:0 ./flat/sub/deep.txt", "regular file 644 0:0 ./json/with space.md",
                "regular file 644 0:0 ./many/a.txt", "regular file 644 0:0 ./many/b.txt",
                "regular file 644 0:0 ./renamed", "regular file 644 0:0 ./tree/sub/deep.txt",
                "regular file 644 0:0 ./wild/a.txt", "regular file 644 0:0 ./wild/b.txt",
                "regular file 644 0:2 ./named/sub/deep.txt",
                "regular file 750 0:0 ./moded/one", "regular file 750 0:0 ./moded/sub/deep.txt",
                "regular file 755 0:0 ./flat/one", "regular file 755 0:0 ./tree/one",
                "regular file 755 0:2 ./named/one",
                "symbolic link 777 0:0 ./flat/link", "symbolic link 777 0:0 ./moded/link",
                "symbolic link 777 0:0 ./tree/link", "symbolic link 777 0:2 ./named/link",
            ]
        )
    }

    @Test("COPY --from a stage by name and by index, and an image that no FROM names")
    func origins() async throws {
        let store = try await Self.shared.get()
        try await store.build(try BuildContext("FROM scratch\nCOPY x /x", ["x": "from-image"]), tag: "donor:v1")
        let context = try BuildContext(
            """
            FROM alpine:latest AS Named
            RUN echo named > /f && chown 5:6 /f && chmod 4711 /f
            FROM alpine:latest
            RUN echo indexed > /f
            FROM scratch AS result
            COPY --from=named /f /by-name
            COPY --from=1 /f /by-index
            COPY --from=donor:v1 /x /by-image
            FROM alpine:latest
            COPY --from=result / /all/
            """
        )
        try await store.build(context, tag: "origins")
        #expect(
            try await store.shell("origins", "cd /all; cat by-name by-index by-image") == "named\nindexed\nfrom-image"
        )
        #expect(try await listing("origins", "/all").contains("regular file 4711 5:6 ./by-name"))
    }

    @Test("FROM scratch holds what was copied and nothing else")
    func scratch() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            "FROM scratch\nCOPY busy /bin/\nENV A=1\nCMD [\"/bin/busy\"]",
            ["busy": "x"]
        )
        let archive = context.directory.file("../\(context.directory.path.lastComponent ?? "").tar").description
        try await store.build(context, ["-o", "type=tar,dest=\(archive)"])
        let names = try await runScript(#"tar -tf "$1"; rm "$1""#, [archive]).split(separator: "\n")
        #expect(
            names.map { $0.hasPrefix("./") ? String($0.dropFirst(2)) : String($0) }.filter { !$0.isEmpty } == [
                "bin/", "bin/busy",
            ]
        )
    }

    @Test("ADD unpacks local archives, compressed or not, and copies other files; COPY unpacks nothing")
    func addArchives() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            """
            FROM alpine:latest
            ADD plain.tar /plain/
            ADD zipped.tar.gz /zipped/
            ADD zipped.tar.zst /zipped/
            ADD notes.tar /notes/
            COPY plain.tar /copied/
            """,
            ["notes.tar": "not an archive"]
        )
        try await runScript(
            """
            mkdir t && echo hello > t/file && ln -s file t/link && ln t/file t/hard && chmod 2750 t
            tar --owner=7 --group=8 -cf plain.tar t
            for c in gz zst; do mv t "$c"; tar -caf "zipped.tar.$c" "$c"; mv "$c" t; done
            rm -r t
            """,
            directory: context.directory.path
        )
        try await store.build(context, tag: "added")
        #expect(
            try await listing("added", "/plain") == [
                "directory 2750 7:8 ./t", "directory 755 0:0 .", "regular file 644 7:8 ./t/file",
                "regular file 644 7:8 ./t/hard", "symbolic link 777 7:8 ./t/link",
            ]
        )
        #expect(
            try await store.shell("added", "ls /zipped /copied /notes; stat -c %h /plain/t/file") == """
                /copied:
                plain.tar

                /notes:
                notes.tar

                /zipped:
                gz
                zst
                2

                """
        )
    }

    @Test("one ADD unpacks several archives, later ones over earlier ones")
    func severalArchives() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\nADD one.tar two.tar /d/\nRUN cat /d/f /d/one /d/two")
        try await runScript(
            """
            echo 1 > one; echo first > f; tar -cf one.tar one f
            echo 2 > two; echo second > f; tar -cf two.tar two f
            """,
            directory: context.directory.path
        )
        #expect(try await store.record(context).progress.log == "second\n1\n2\n")
    }

    @Test("archives of every compression are told by their content", arguments: ["tar", "gz", "bz2", "xz", "zst"])
    func archives(compression: String) async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            "FROM alpine:latest\nADD a.bin /d/\nADD --unpack=false a.bin /kept/\nRUN cat /d/f && test -s /kept/a.bin",
            ["f": "inside\n"]
        )
        let script = #"tar -caf "a.tar.$1" f && mv "a.tar.$1" a.bin && rm f"#
        try await runScript(script, [compression], directory: context.directory.path)
        #expect(try await store.record(context).progress.log == "inside\n")
    }

    @Test("an archive that is cut off fails the step", arguments: ["tar", "gz", "bz2", "xz", "zst"])
    func brokenArchives(compression: String) async throws {
        let store = try await Self.shared.get()
        // More than one block of bzip2: what holds no whole block cannot be told for an archive.
        let context = try BuildContext("FROM alpine:latest\nADD a.bin /d/")
        let script =
            #"head -c 3000000 /dev/urandom > f && tar -caf "a.$1" f && head -c 2000000 "a.$1" > a.bin && rm f "a.$1""#
        try await runScript(
            script.replacing("a.$1", with: "a.tar.$1"),
            [compression],
            directory: context.directory.path
        )
        let result = try await store.tryBuild(context)
        #expect(result.status == 1)
        #expect(result.errors.contains("Dockerfile:2"), "\(result)")
    }

    @Test(".dockerignore: patterns, exceptions, the file beside a named Dockerfile wins")
    func ignoreFiles() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            "FROM alpine:latest\nCOPY . /c/\nRUN cd /c && find . -type f | sort",
            [
                ".dockerignore":
                    "# comment\n*.log\n**/secret\n!important.log\ndocs\n!docs/keep.md\nDockerfile\n.dockerignore\n",
                "a.log": "", "important.log": "", "sub/b.log": "", "secret": "", "sub/secret": "", "docs/x.md": "",
                "docs/keep.md": "", "main": "",
            ]
        )
        let log = try await store.record(context).progress.log
        #expect(log == "./docs/keep.md\n./important.log\n./main\n./sub/b.log\n")
        try context.write("other.Dockerfile", "FROM alpine:latest\nCOPY . /c/\nRUN cd /c && find . -type f | sort")
        try context.write("other.Dockerfile.dockerignore", "*\n!main\n")
        let other = try await store.record(context, ["-f", context.directory.file("other.Dockerfile").description])
        #expect(other.progress.log == "./main\n")
    }

    @Test("a heredoc of COPY becomes a file, with variables unless its word is quoted")
    func heredocs() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            """
            FROM alpine:latest
            ENV NAME=value
            COPY <<one.txt <<"two.txt" /h/
            a $NAME
            one.txt
            b $NAME
            two.txt
            COPY --chmod=755 <<-EOF /script
            \t#!/bin/sh
            \techo ran
            EOF
            RUN cat /h/one.txt /h/two.txt && /script
            """
        )
        #expect(try await store.record(context).progress.log == "a value\nb $NAME\nran\n")
    }

    @Test("WORKDIR makes directories, relative to the one before, with variables")
    func workingDirectories() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            "FROM alpine:latest\nENV D=x\nWORKDIR /w/$D\nWORKDIR y\nWORKDIR ../z\nRUN pwd; ls .."
        )
        #expect(try await store.record(context).progress.log == "/w/x/z\nx\n".replacing("\nx\n", with: "\ny\nz\n"))
    }

    @Test("a Dockerfile from standard input, with a context and without")
    func standardInput() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(nil, ["f": "content\n"])
        let options = ["build", "-q", "-t", "stdin", "-f", "-", context.path]
        try await store.galley(options, input: "FROM alpine:latest\nCOPY f /f\n").get()
        #expect(try await store.run("stdin", ["cat", "/f"]) == "content\n")
        try await store.galley(["build", "-q", "-t", "stdin", "-"], input: "FROM alpine:latest\nRUN echo 1 > /f\n")
            .get()
        #expect(try await store.run("stdin", ["cat", "/f"]) == "1\n")
    }

    @Test("what COPY reads decides: times, and files that it does not name, do not")
    func contentKeys() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\nCOPY a /a\nRUN cat /a", ["a": "one", "b": "b"])
        let first = try await store.build(context)
        try context.write("b", "changed")
        try await runScript("touch -d 2001-01-01 a", directory: context.directory.path)
        let second = try await store.record(context)
        #expect(second.id == first)
        #expect(second.progress.executed == [])
        try await runScript("chmod 700 a", directory: context.directory.path)
        #expect(try await store.build(context) != first)
        try await runScript("chmod 644 a; printf two > a; touch -d 2001-01-01 a", directory: context.directory.path)
        #expect(try await store.record(context).progress.log == "two")
    }

    @Test("destinations through symlinks of the image stay in the image")
    func linkedDestinations() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            """
            FROM alpine:latest
            RUN mkdir /real && ln -s /real /linked && ln -s ../../../../../../tmp /escape
            COPY f /linked/
            COPY f /escape/galley-escaped
            RUN ls /real; test -L /linked; ls /tmp
            """,
            ["f": "x"]
        )
        #expect(try await store.record(context).progress.log == "f\ngalley-escaped\n")
        #expect(!TestInstallation.exists("/tmp/galley-escaped"))
    }
}

extension String {
    var trimmingNewline: String { hasSuffix("\n") ? String(dropLast()) : self }
}
