// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import GalleyTesting
import LinuxSystem
import OCI
import Testing

@testable import BuildOps

/// What commands see of other trees, and what of it stays.
@Suite(.enabled(if: ExecKitchen.isPossible)) struct MountTests {
    private func stage(_ kitchen: ExecKitchen) throws -> StepValue {
        try kitchen.kitchen.stage(
            """
            mkdir -p sub/deep; echo file > file; echo deep > sub/deep/x; chmod 750 sub; chown 7:8 sub/deep/x
            ln -s /sub/deep abs; ln -s ../../../sub up; ln -s file link
            """
        )
    }

    @Test("a bind mount shows a part of another tree, read-only")
    func bind() async throws {
        let kitchen = try ExecKitchen()
        let (layers, output) = try await kitchen.run(
            "cat /m/deep/x; stat -c %u:%g:%a /m/deep/x /m; if echo x 2>/dev/null > /m/new; then echo written; fi",
            [.bind("/m", from: "/sub")],
            inputs: [try stage(kitchen)]
        )
        #expect(output == "deep\n7:8:644\n0:0:750\n")
        #expect(try kitchen.added(layers) == [])
    }

    @Test(
        "symlinks of the source stay inside its tree",
        arguments: [
            ("/abs", "x"), ("/up/deep", "x"), ("/abs/../..", "abs file link sub up"), ("../..", "abs file link sub up"),
        ]
    )
    func links(path: String, names: String) async throws {
        let kitchen = try ExecKitchen()
        let (_, output) = try await kitchen.run(
            "echo $(ls /m)",
            [.bind("/m", from: path)],
            inputs: [try stage(kitchen)]
        )
        #expect(output == names + "\n")
    }

    @Test(
        "files are mounted too, through links, also where a file is already",
        arguments: ["/file", "/link", "/up/../file"]
    )
    func files(path: String) async throws {
        let kitchen = try ExecKitchen()
        let (layers, output) = try await kitchen.run(
            "cat /new/dir/f /etc/passwd; test -f /new/dir/f",
            [.bind("/new/dir/f", from: path), .bind("/etc/passwd", from: path)],
            inputs: [try stage(kitchen)]
        )
        #expect(output == "file\nfile\n")
        #expect(try kitchen.added(layers) == [])
    }

    @Test("what is written to a bind mount that may be written is thrown away")
    func writable() async throws {
        let kitchen = try ExecKitchen()
        let stage = try stage(kitchen)
        let context = try kitchen.kitchen.context("mkdir d; echo a > d/a")
        let mounts: [ExecMount] = [
            .bind("/m", writable: true), .bind("/c", from: "/d", input: 2, writable: true),
            .bind("/f", from: "/d/a", input: 2, writable: true),
        ]
        let script =
            "cat /m/file /c/a /f; echo 1 > /m/file; rm -r /m/sub; echo 2 > /c/a; echo 3 > /f; cat /m/file /c/a /f"
        let (layers, output) = try await kitchen.run(script, mounts, inputs: [stage, context])
        #expect(output == "file\na\na\n1\n2\n3\n")
        #expect(try kitchen.added(layers) == [])
        let again = try await kitchen.run("cat /m/file /m/sub/deep/x /c/a /f", mounts, inputs: [stage, context])
        #expect(again.output == "file\ndeep\na\na\n")
    }

    @Test("a mount of the build context has no excluded file, and belongs to root")
    func context() async throws {
        let kitchen = try ExecKitchen()
        let context = try kitchen.kitchen.context(
            "mkdir -p src/lib; echo main > src/main; echo secret > src/.env; echo x > src/lib/x; echo no > other"
                + "; chown -R 1234:1234 .; chmod 700 src; ln -s main src/link",
            ignore: ["**/.env", "src/lib"],
            follow: ["src"]
        )
        let (layers, output) = try await kitchen.run(
            "cd /m; find . | sort; stat -c %u:%g:%a /m /m/src /m/src/main; cat src/link; cat /s/main",
            [.bind("/m"), .bind("/s", from: "/src")],
            inputs: [context]
        )
        #expect(
            output == ".\n./src\n./src/link\n./src/main\n0:0:755\n0:0:700\n0:0:644\nmain\nmain\n"
        )
        #expect(try kitchen.added(layers) == [])
    }

    @Test("a context mount needs what it names, and says why an excluded file is not there")
    func missing() async throws {
        let kitchen = try ExecKitchen()
        let context = try kitchen.kitchen.context("echo x > hidden; echo y > shown", ignore: ["hidden"])
        await #expect(throws: BuildOpsError.self) {
            try await kitchen.run("true", [.bind("/m", from: "/hidden")], inputs: [context])
        }
        let stage = try stage(kitchen)
        let error = await #expect(throws: BuildOpsError.self) {
            try await kitchen.run("true", [.bind("/m", from: "/none/here")], inputs: [stage])
        }
        #expect(error?.message == "\"/none/here\": not found")
    }

    @Test("an empty tree is an empty directory; nothing else is in it")
    func scratch() async throws {
        let kitchen = try ExecKitchen()
        let empty = StepValue(LayerStack([]))
        #expect(try await kitchen.run("ls -A /m | wc -l", [.bind("/m")], inputs: [empty]).output == "0\n")
        await #expect(throws: BuildOpsError.self) {
            try await kitchen.run("true", [.bind("/m", from: "/x")], inputs: [empty])
        }
    }

    @Test("mounts lie in mounts, whatever their order, also in read-only ones that lack the place")
    func nested() async throws {
        let kitchen = try ExecKitchen()
        let context = try kitchen.kitchen.context("mkdir src; echo main > src/main; chmod 750 src")
        let stage = try stage(kitchen)
        let mounts: [ExecMount] = [
            .cache("/app/src/node_modules/.cache"), .bind("/app/src/vendor", from: "/sub", input: 2), .bind("/app"),
            .bind("/app/src/one", from: "/file", input: 2),
            ExecMount(.tmpfs(size: nil), target: "/app/t", readOnly: false),
            .bind("/s", input: 2), ExecMount(.tmpfs(size: nil), target: "/s/sub/deep", readOnly: false),
        ]
        let (layers, output) = try await kitchen.run(
            "cat /app/src/main /app/src/vendor/deep/x /app/src/one; echo c > /app/src/node_modules/.cache/c; "
                + "echo t > /app/t/t; ls /s/sub/deep; stat -c %a /app/src /s/sub; ls /app",
            mounts,
            inputs: [context, stage]
        )
        #expect(output == "main\ndeep\nfile\n750\n750\nsrc\nt\n")
        #expect(try kitchen.added(layers) == [])
        #expect(try await kitchen.run("cat /c/c", [.cache("/c")]).output == "c\n")
    }

    @Test("of two mounts for one target the later counts")
    func sameTarget() async throws {
        let kitchen = try ExecKitchen()
        let mounts: [ExecMount] = [.bind("/m", from: "/sub"), .bind("/m", from: "/sub/deep")]
        #expect(try await kitchen.run("ls /m", mounts, inputs: [try stage(kitchen)]).output == "x\n")
    }

    @Test("places for mounts do not stay, what the command makes beside them does")
    func places() async throws {
        let kitchen = try ExecKitchen()
        let (layers, _) = try await kitchen.run(
            "echo x > /a/b/kept; echo y > /usr/lib/kept; echo z > /a/b/c/lost",
            [.cache("/a/b/c"), .cache("/usr/lib/x/y", id: "other"), .cache("/bin", id: "third")].filter {
                $0.target != "/bin"
            }
        )
        #expect(try kitchen.added(layers) == ["a", "a/b", "a/b/kept", "usr", "usr/lib", "usr/lib/kept"])
    }

    @Test("a target through a link of the image leaves nothing behind either")
    func linkedTarget() async throws {
        let kitchen = try ExecKitchen()
        let image = try kitchen.kitchen.layer(
            "mkdir -p run var opt/real; ln -s /run var/run; ln -s ../opt/real var/opt"
        )
        let base = try await kitchen.base.layers() + [image]
        let step = try kitchen.step(
            "echo x > /run/buildkit/cache/x; echo y > /var/opt/deep/er/y; ls /opt/real/deep/er",
            [.cache("/var/run/buildkit/cache"), .cache("/var/opt/deep/er", id: "other")]
        )
        let value = StepValue(LayerStack(base))
        let result = try await step.run([value])
        #expect(kitchen.log == "y\n")
        #expect(try kitchen.added(result.layers) == [])
    }

    @Test("a tmpfs is empty, has the size it is given, and goes")
    func tmpfs() async throws {
        let kitchen = try ExecKitchen()
        let (layers, output) = try await kitchen.run(
            "df -k /t | sed -n 's/^tmpfs *\\([0-9]*\\).*/\\1/p'; echo x > /t/x; stat -c %a /t; ls /usr | wc -l",
            [
                ExecMount(.tmpfs(size: 8 << 20), target: "/t", readOnly: false),
                ExecMount(.tmpfs(size: nil), target: "/usr", readOnly: true),
            ]
        )
        #expect(output == "8192\n1777\n0\n")
        #expect(try kitchen.added(layers) == [])
    }

    @Test("a script that a mount brings runs with its interpreter, as any user", arguments: ["", "cook"])
    func script(user: String) async throws {
        let kitchen = try ExecKitchen()
        let script = try kitchen.kitchen.stage(
            "printf '#!/bin/busybox sh\\necho ran as $(id -u)\\n' > EOF; chmod 755 EOF"
        )
        let (layers, output) = try await kitchen.run(
            "",
            [.bind("/dev/pipes/EOF", from: "/EOF")],
            inputs: [script]
        ) {
            $0.arguments = ["/bin/sh", "-c", "/dev/pipes/EOF"]
            $0.user = user
        }
        #expect(output == "ran as \(user.isEmpty ? 0 : 1000)\n")
        #expect(try kitchen.added(layers) == [])
    }

    @Test("the content key of a command is of what its bind mounts show, and of nothing else")
    func contentKey() async throws {
        let kitchen = try ExecKitchen()
        func digest(_ script: String, _ mounts: [ExecMount]) async throws -> String? {
            try await kitchen.step("true", mounts).contentDigest([kitchen.base, try kitchen.kitchen.context(script)])?
                .hex
        }
        let one = try await digest("mkdir d; echo 1 > d/f; echo 2 > other", [.bind("/m", from: "/d")])
        #expect(one != nil)
        #expect(try await digest("mkdir d; echo 1 > d/f; echo 3 > other", [.bind("/m", from: "/d")]) == one)
        let attribute = "mkdir d; echo 1 > d/f; echo 2 > other; setfattr -n user.k -v v d"
        #expect(try await digest(attribute, [.bind("/m", from: "/d")]) != one)
        let root = "echo 1 > f; "
        #expect(
            try await digest(root + "chmod 700 .", [.bind("/m", from: "/")])
                == digest(root + "chmod 775 .", [.bind("/m", from: "/")])
        )
        #expect(try await digest("mkdir d; echo 2 > d/f; echo 2 > other", [.bind("/m", from: "/d")]) != one)
        #expect(try await digest("true", [.cache("/c"), .secret(SecretMount(id: "x"), at: "/x")]) == digest("", []))
    }
}
