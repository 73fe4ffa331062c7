// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Synchronization
import Testing

/// ADD of files from web servers, and what servers may do to it.
@Suite(.endToEnd)
struct WebFileTests {
    private func add(_ url: String, _ options: String = "") throws -> BuildContext {
        try BuildContext("FROM scratch\nADD \(options) \(url) /\n")
    }

    @Test("a file is fetched when it has changed, and has the server's time")
    func changes() async throws {
        let version = Mutex("1")
        let server = try WebServer { request in
            let now = version.withLock { $0 }
            if request.headers["if-none-match"] == "\"\(now)\"" { return .init(status: "304 Not Modified") }
            return .text("content \(now)", ["ETag: \"\(now)\"", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"])
        }
        let store = try GalleyStore()
        let context = try add("\(server.url)/a/file%20name?x=1")
        for (content, count) in [("content 1", 1), ("content 1", 2)] {
            #expect(try await DirectoryBuild.files(store, context) == ["file name": content])
            #expect(server.requests.count == count)
        }
        version.withLock { $0 = "2" }
        #expect(try await DirectoryBuild.files(store, context) == ["file name": "content 2"])
        #expect(server.requests.map { $0.headers["if-none-match"] } == [nil, "\"1\"", "\"1\""])
        #expect(
            server.requests.allSatisfy { $0.target == "/a/file%20name?x=1" && $0.headers["accept-encoding"] == nil }
        )
        let archive = store.directory.file("out.tar").description
        try await store.galley("build", "-o", "type=tar,dest=\(archive)", context.path).get()
        let listing = try await runScript(#"TZ=UTC tar -tv --full-time -f "$1""#, [archive])
        #expect(listing.hasPrefix("-rw------- 0/0"))
        #expect(listing.contains("1994-11-06 08:49:37"))
        try expectNothingLeft(store.leftovers())
    }

    @Test("with a checksum the server is asked once, and other content is refused")
    func checksums() async throws {
        let server = try WebServer(["/f": .text("content"), "/g": .text("other")])
        let digest = Digest.sha256("content")
        let store = try GalleyStore()
        for _ in 0..<2 {
            let context = try add("\(server.url)/f", "--checksum=\(digest)")
            #expect(try await DirectoryBuild.files(store, context) == ["f": "content"])
        }
        #expect(server.requests.count == 1)
        let wrong = try await DirectoryBuild(store, try add("\(server.url)/g", "--checksum=\(digest)"))
        let text = "digest mismatch for \(server.url)/g: \(Digest.sha256("other")) (expected: \(digest))"
        #expect(wrong.result.status == 1)
        #expect(wrong.result.errors.contains(text), "\(wrong.result)")
        try expectNothingLeft(store.leftovers())
    }

    @Test("a connection that is cut in the middle is tried again from the start")
    func cutConnections() async throws {
        let attempts = Mutex(0)
        let body = [UInt8](repeating: 0x61, count: 3 << 20)
        let server = try WebServer { _ in
            let attempt = attempts.withLock { attempts in
                attempts += 1
                return attempts
            }
            return attempt < 3 ? .init(body: Array(body.prefix(1 << 20)), ending: .cut) : .init(body: body)
        }
        let files = try await DirectoryBuild.files(try GalleyStore(), try add("\(server.url)/f"))
        #expect(files["f"]?.utf8.count == body.count)
        #expect(server.requests.count == 3)
    }

    @Test("redirects are followed; a token is shown to the first host alone, and never in what is printed")
    func redirects() async throws {
        let target = try WebServer(["/final": .text("found")])
        let server = try WebServer([
            "/start": .redirect("/middle"), "/middle": .redirect("\(target.url)/final"),
            "/circle": .redirect("/circle"), "/elsewhere": .redirect("file:///etc/passwd"),
        ])
        let store = try GalleyStore()
        let token = store.directory.file("token")
        try replaceFile(token, Array("se cret\n".utf8))
        let build = try await DirectoryBuild(
            store,
            try add("\(server.url)/start"),
            ["--secret", "id=HTTP_AUTH_TOKEN_127.0.0.1,src=\(token)"]
        )
        try build.result.get()
        #expect(build.files == ["start": "found"])
        #expect(server.requests.map { $0.headers["authorization"] } == ["Bearer se cret", "Bearer se cret"])
        #expect(target.requests.map { $0.headers["authorization"] } == [nil])
        #expect(!build.result.errors.contains("se cret"))
        for (path, message) in [("circle", "redirects more than"), ("elsewhere", "not an http(s) address")] {
            let failed = try await DirectoryBuild(store, try add("\(server.url)/\(path)"))
            #expect(failed.result.errors.contains(message), "\(failed.result)")
        }
    }

    @Test(
        "what a server refuses is said with what to do",
        arguments: [
            ("404 Not Found", "invalid response status 404", "check the URL"),
            ("401 Unauthorized", "invalid response status 401", "HTTP_AUTH_TOKEN_127.0.0.1"),
            ("403 Forbidden", "invalid response status 403", "HTTP_AUTH_TOKEN_127.0.0.1"),
        ]
    )
    func refusals(_ status: String, _ message: String, _ hint: String) async throws {
        let server = try WebServer { _ in .init(status: status) }
        let build = try await DirectoryBuild(try GalleyStore(), try add("\(server.url)/f?token=abc"))
        #expect(build.result.status == 1)
        #expect(build.result.errors.contains(message), "\(build.result)")
        #expect(build.result.errors.contains(hint), "\(build.result)")
        // Neither the message nor the lines of the Dockerfile beside it.
        #expect(!build.result.errors.contains("abc"))
    }

    @Test("the query of a signed address is sent, and shown nowhere")
    func signedAddresses() async throws {
        let server = try WebServer { request in
            guard request.target.hasSuffix("?X-Signature=hush") else { return .init(status: "403 Forbidden") }
            switch request.path {
            case "/Dockerfile": return .text("FROM scratch\nCOPY f /f\n")
            case "/f": return .text("content")
            default: return .notFound
            }
        }
        let store = try GalleyStore()
        let address = "\(server.url)/f?X-Signature=hush#hush"
        let context = try add(address)
        let build = try await DirectoryBuild(store, context)
        #expect(build.files == ["f": "content"])
        #expect(build.result.errors.contains(" \(server.url)/f /\n"), "\(build.result)")
        var said = [build.result.errors]
        try await store.build(context, tag: "app")
        said.append(try await store.galley("history", "--no-trunc", "app").get().output)
        said.append(try await store.galley("inspect", "app").get().output)
        let dockerfile = "\(server.url)/Dockerfile?X-Signature=hush"
        let remote = try await DirectoryBuild(store, try BuildContext("", ["f": "1"]), ["-f", dockerfile])
        #expect(remote.files == ["f": "1"])
        said.append(remote.result.errors)
        for words in [
            [dockerfile], ["\(server.url)/none.tar?X-Signature=hush"], ["\(server.url)/r.git?X-Signature=hush"],
        ] {
            let failed = try await DirectoryBuild(store, words)
            #expect(failed.result.status == 1, "\(words): \(failed.result)")
            said.append(failed.result.errors)
        }
        for (text, message) in [
            ("ADD --checksum=\(Digest.sha256("other")) \(address) /", "digest mismatch for \(server.url)/f"),
            ("ADD \(server.url)/none?X-Signature=hush /", "\(server.url)/none: invalid response status 404"),
            ("ADD \(server.url)/r.git?X-Signature=hush /", "unexpected query"),
            ("ADD --checksum=no \(address) /", "invalid checksum digest format"),
            ("COPY \(address) /", "source can't be a URL for COPY"),
        ] {
            let failed = try await DirectoryBuild(store, try BuildContext("FROM scratch\n\(text)\n"))
            #expect(failed.result.errors.contains(message), "\(failed.result)")
            said.append(failed.result.errors)
        }
        for text in said { #expect(!text.contains("hush"), "\(text)") }
        let kept = try await runScript(#"grep -rl X-Signature "$1" || true"#, [store.root.description])
        #expect(kept == "")
    }

    @Test("compressed content stays as the server sends it")
    func contentEncoding() async throws {
        let bytes = try compressed(Array("text".utf8), .gzip)
        let server = try WebServer(["/f.gz": .init(headers: ["Content-Encoding: gzip"], body: bytes)])
        let context = try add("\(server.url)/f.gz", "--checksum=\(Digest.sha256(bytes))")
        #expect(try await DirectoryBuild.files(try GalleyStore(), context).keys.sorted() == ["f.gz"])
    }

    @Test("a body without end fills no memory, and ending the build leaves nothing of it")
    func endless() async throws {
        let server = try WebServer { _ in .init(ending: .endless) }
        let store = try GalleyStore()
        let context = try add("\(server.url)/f")
        let program = try store.start(["build", "--progress", "plain", context.path])
        try await eventually("64 MiB have arrived") {
            guard program.isRunning else { throw ProgramFailure(description: try program.errorsSoFar()) }
            return try received(store) > 64 << 20
        }
        let status = try String(decoding: readFile(RawPath("/proc/\(program.pid)/status")), as: UTF8.self)
        let peak = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        let kilobytes = try #require(
            peak?.split(separator: " ").dropFirst().first.flatMap { Int($0.filter(\.isNumber)) }
        )
        #expect(kilobytes < 512 << 10)
        program.send(SIGINT)
        #expect(try await program.finish().status == 128 + SIGINT)
        try expectNothingLeft(store.leftovers())
    }

    /// Bytes of files in layers that are being made.
    private func received(_ store: GalleyStore) throws -> Int64 {
        var sum: Int64 = 0
        func add(_ directory: CInt, _ depth: Int) throws {
            for entry in (try? readDirectory(directory)) ?? [] {
                guard let found = try? status(at: directory, entry.name) else { continue }
                if found.kind == .regular { sum += found.size }
                guard depth > 0, found.kind == .directory,
                    let child = try? open(at: directory, entry.name, [.directory])
                else { continue }
                try add(child.raw, depth - 1)
            }
        }
        guard let tmp = try? open(store.root.appending("tmp"), [.directory]) else { return 0 }
        try add(tmp.raw, 4)
        return sum
    }

    @Test("files are fetched through the proxy that the environment names, but for its exceptions")
    func proxies() async throws {
        let proxy = try WebServer { request in
            if request.method == "CONNECT" { return .init() }
            return request.headers["host"] == "example.test" ? .text("through the proxy") : .notFound
        }
        let store = try GalleyStore()
        let variables = ["http_proxy": "http://user:p%40ss@127.0.0.1:\(proxy.port)", "no_proxy": "other.test"]
        let context = try add("http://example.test/f")
        #expect(
            try await DirectoryBuild.files(store, context, environment: variables) == ["f": "through the proxy"]
        )
        #expect(proxy.requests.map(\.target) == ["example.test:80", "/f"])
        #expect(proxy.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwQHNz")
        let server = try WebServer(["/f": .text("direct")])
        let near = try add("\(server.url)/f")
        #expect(try await DirectoryBuild.files(store, near, environment: variables) == ["f": "direct"])
        let excepted = try await DirectoryBuild(store, try add("http://other.test/f"), environment: variables)
        #expect(excepted.result.status == 1)
        #expect(proxy.requests.count == 2)
        let wrong = try await DirectoryBuild(store, context, environment: ["HTTP_PROXY": "ftp://user:secret@x"])
        #expect(wrong.result.errors.contains("HTTP_PROXY is not the address of an http or socks5 proxy"))
        #expect(!wrong.result.errors.contains("secret"))
    }
}

/// ADD of git repositories, and what repositories may do to it.
@Suite(.endToEnd, .needs(program: "git"))
struct GitSourceTests {
    private func add(_ url: String, _ options: String = "") throws -> BuildContext {
        try BuildContext("FROM scratch\nADD \(options) \(url) /r\n")
    }

    @Test("a branch is asked for each time, and fetched when it has moved; a commit needs no server")
    func references() async throws {
        let server = try await GitServer()
        try await server.make("app.git", "echo 1 > f; git add -A; git commit -qm 1; git tag -a v1 -m v1")
        let store = try GalleyStore()
        let url = server.url("app.git")
        let first = try await server.commit("app.git", "main")
        for reference in ["", "#main", "#refs/heads/main", "#v1", "#\(first)"] {
            #expect(try await DirectoryBuild.files(store, try add(url + reference)) == ["r/f": "1\n"])
        }
        let before = try server.connections()
        #expect(try await DirectoryBuild.files(store, try add("\(url)#\(first)")) == ["r/f": "1\n"])
        #expect(try server.connections() == before)
        try await server.make(
            "app.git",
            "echo 2 > f; git commit -qam 2; git branch main/deep 2> /dev/null || git branch deep/er"
        )
        #expect(try await DirectoryBuild.files(store, try add(url)) == ["r/f": "2\n"])
        #expect(try await DirectoryBuild.files(store, try add(url + "#deep/er")) == ["r/f": "2\n"])
        #expect(try await DirectoryBuild.files(store, try add("\(url)#\(first)")) == ["r/f": "1\n"])
        // A commit that no branch names and another store never saw.
        #expect(try await DirectoryBuild.files(try GalleyStore(), try add("\(url)#\(first)")) == ["r/f": "1\n"])
        try expectNothingLeft(store.leftovers())
    }

    @Test("a checksum is the start of the commit's number")
    func checksums() async throws {
        let server = try await GitServer()
        try await server.make("app.git", "echo 1 > f; git add -A; git commit -qm 1; git tag -a v1 -m v1")
        let store = try GalleyStore()
        let url = server.url("app.git")
        let commit = try await server.commit("app.git", "main")
        for (reference, checksum) in [("#main", String(commit.prefix(12))), ("#v1", commit), ("#\(commit)", commit)] {
            let context = try add(url + reference, "--checksum=\(checksum)")
            #expect(try await DirectoryBuild.files(store, context) == ["r/f": "1\n"])
        }
        let wrong = try await DirectoryBuild(store, try add(url, "--checksum=0123456789"))
        #expect(wrong.result.status == 1)
        #expect(wrong.result.errors.contains("expected checksum to match 0123456789, got \(commit)"), "\(wrong.result)")
    }

    @Test("submodules, times and the repository itself")
    func options() async throws {
        let server = try await GitServer()
        try await server.make("part.git", "echo part > p; git add -A; git commit -qm part")
        try await server.make(
            "app.git",
            """
            echo 1 > f; git add -A
            git -c protocol.file.allow=always submodule --quiet add \(server.url("part.git")) sub
            git commit -qm 1
            """
        )
        let store = try GalleyStore()
        let url = server.url("app.git")
        let plain = try await DirectoryBuild.files(store, try add(url))
        #expect(plain["r/f"] == "1\n" && plain["r/sub/p"] == "part\n")
        #expect(!plain.keys.contains { $0.contains(".git/") || $0.hasSuffix("/.git") })
        let without = try await DirectoryBuild.files(store, try add(url + "?submodules=false"))
        #expect(without["r/sub/p"] == nil)
        let kept = try await DirectoryBuild.files(store, try add(url, "--keep-git-dir=true"))
        #expect(kept["r/sub/p"] == "part\n")
        #expect(kept["r/.git/config"]?.contains(url) == true)
        #expect(!kept.values.contains { $0.contains(store.root.description) })
        let archive = store.directory.file("out.tar").description
        let dated = try add(url + "?mtime=commit")
        // Times are no part of a copy's key, so that a store which has a copy with others would find that one.
        try await GalleyStore().galley("build", "-o", "type=tar,dest=\(archive)", dated.path).get()
        let listing = try await runScript(#"TZ=UTC tar -tv --full-time -f "$1" r/f r/sub/p"#, [archive])
        #expect(listing.split(separator: "\n").allSatisfy { $0.contains("2017-07-14 02:40:00") }, "\(listing)")
    }

    @Test("a hostile repository runs nothing and reaches nothing")
    func hostile() async throws {
        let server = try await GitServer()
        let store = try GalleyStore()
        let marker = store.directory.file("touched").description
        try await server.make(
            "evil.git",
            """
            ln -s /etc abs; ln -s ../../../../../../etc rel
            mkdir -p hooks; printf '#!/bin/sh\\ntouch \(marker)\\n' > hooks/post-checkout; chmod +x hooks/post-checkout
            echo '* filter=evil' > .gitattributes
            printf '[submodule "x"]\\n\\tpath = x\\n\\turl = file:///\\n\\tupdate = !touch \(marker)\\n' > .gitmodules.off
            echo 1 > f; git add -A; git commit -qm 1
            git checkout -q -b modules; git mv .gitmodules.off .gitmodules
            git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),x; git commit -qm 2; git checkout -q main
            git checkout -q -b external; printf '[submodule "x"]\\n\\tpath = x\\n\\turl = ext::touch \(marker)\\n' > .gitmodules
            git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),x; git add .gitmodules; git commit -qm 3
            git checkout -q main
            """
        )
        let url = server.url("evil.git")
        let files = try await DirectoryBuild.files(store, try add(url))
        #expect(files["r/abs"] == "-> /etc" && files["r/f"] == "1\n")
        for directory in ["abs", "rel", "../..", "f", "absent"] {
            let build = try await DirectoryBuild(store, try add("\(url)#main:\(directory)"))
            // What leads upwards is taken out of a path beforehand.
            #expect(build.result.status == (directory == "../.." ? 0 : 1), "\(build.result)")
            #expect(!build.files.keys.contains { $0.hasSuffix("passwd") })
        }
        for branch in ["modules", "external"] {
            let build = try await DirectoryBuild(store, try add("\(url)#\(branch)"))
            #expect(build.result.status == 1, "\(build.result)")
        }
        #expect(!TestInstallation.exists(marker))
        try expectNothingLeft(store.leftovers())
    }

    @Test("what cannot be fetched is said with what to do")
    func refusals() async throws {
        let server = try await GitServer()
        try await server.make("app.git", "echo 1 > f; git add -A; git commit -qm 1")
        let store = try GalleyStore()
        let cases = [
            (server.url("absent.git"), "failed to fetch remote \(server.url("absent.git"))", "check the address"),
            (server.url("app.git") + "#nope", "repository does not contain ref nope", "check the branch"),
        ]
        for (url, message, hint) in cases {
            let result = try await DirectoryBuild(store, try add(url)).result
            #expect(result.status == 1)
            #expect(result.errors.contains(message) && result.errors.contains("hint: \(hint)"), "\(result)")
        }
        let without = try await DirectoryBuild(
            store,
            try add(server.url("app.git")),
            environment: ["PATH": "/nonexistent"]
        )
        #expect(without.result.errors.contains("git was not found in PATH"))
        #expect(without.result.errors.contains("apt-get install git"))
        try expectNothingLeft(store.leftovers())
    }

    @Test("a repository that is plain files on a web server is fetched too, with the token that a secret holds")
    func dumbServer() async throws {
        let repositories = try await GitServer()
        try await repositories.make(
            "app.git",
            "echo 1 > f; git add -A; git commit -qm 1; echo 2 > f; git commit -qam 2"
        )
        let files = RawPath(repositories.path(""))
        let server = try WebServer { request in
            guard request.headers["authorization"] == "basic eC1hY2Nlc3MtdG9rZW46c2VjcmV0" else {
                return .init(status: "401 Unauthorized", headers: ["WWW-Authenticate: Basic realm=\"x\""])
            }
            let name = String(request.path.dropFirst())
            guard let bytes = try? readFile(files.appending(name)) else { return .notFound }
            return .init(body: bytes)
        }
        let store = try GalleyStore()
        let context = try add("\(server.url)/app.git")
        let refused = try await DirectoryBuild(store, context)
        #expect(refused.result.status == 1)
        #expect(refused.result.errors.contains("GIT_AUTH_TOKEN"), "\(refused.result)")
        let build = try await DirectoryBuild(
            store,
            context,
            ["--secret", "id=GIT_AUTH_TOKEN,env=TOKEN"],
            environment: ["TOKEN": "secret"]
        )
        try build.result.get()
        #expect(build.files == ["r/f": "2\n"])
        #expect(!build.result.errors.contains("eC1hY2Nlc3MtdG9rZW46c2VjcmV0"))
        let found = try await runScript(#"grep -rl eC1hY2Nlc3M "$1" || true"#, [store.root.description])
        #expect(found == "")
    }

    @Test(
        "what an address says of who asks is used, and neither kept nor shown",
        arguments: [("hush-token", "aHVzaC10b2tlbjo="), ("me:hush-token", "bWU6aHVzaC10b2tlbg==")]
    )
    func userInAddress(_ user: String, _ basic: String) async throws {
        let repositories = try await GitServer()
        try await repositories.make("app.git", "echo 1 > f; git add -A; git commit -qm 1")
        let files = RawPath(repositories.path(""))
        let server = try WebServer { request in
            guard request.headers["authorization"] == "basic \(basic)" else {
                return .init(status: "401 Unauthorized", headers: ["WWW-Authenticate: Basic realm=\"x\""])
            }
            guard let bytes = try? readFile(files.appending(String(request.path.dropFirst()))) else { return .notFound }
            return .init(body: bytes)
        }
        let store = try GalleyStore()
        let address = server.url.replacing("://", with: "://\(user)@")
        let context = try BuildContext("FROM scratch\nADD --keep-git-dir=true \(address)/app.git /r/\n")
        let build = try await DirectoryBuild(store, context)
        try build.result.get()
        #expect(build.files["r/f"] == "1\n")
        #expect(!build.result.errors.contains("hush"), "\(build.result)")
        try await store.build(context, tag: "app")
        #expect(try await !store.galley("history", "--no-trunc", "app").get().output.contains("hush"))
        let found = try await runScript(#"grep -rlE "$2" "$1" || true"#, [store.root.description, "hush|\(basic)"])
        #expect(found == "")
    }

    @Test("who asks is told to no server that the repository's redirects to", arguments: [true, false])
    func redirects(isSecret: Bool) async throws {
        let repositories = try await GitServer()
        try await repositories.make("app.git", "echo 1 > f; git add -A; git commit -qm 1")
        let files = RawPath(repositories.path(""))
        let target = try WebServer(files: files)
        let server = try WebServer { .redirect(target.url + $0.target) }
        let store = try GalleyStore()
        let build = try await DirectoryBuild(
            store,
            try add("\(server.url)/app.git"),
            isSecret ? ["--secret", "id=GIT_AUTH_TOKEN,env=TOKEN"] : [],
            environment: ["TOKEN": "secret"]
        )
        #expect(target.requests.allSatisfy { $0.headers["authorization"] == nil })
        if isSecret {
            #expect(target.requests.isEmpty)
            #expect(server.requests.first?.headers["authorization"] != nil)
            #expect(build.result.status == 1)
            #expect(build.result.errors.contains("use the repository's final address"), "\(build.result)")
        } else {
            #expect(build.files == ["r/f": "1\n"], "\(build.result)")
        }
    }

    @Test("a server that lies about what a tag stands for is refused")
    func lyingServer() async throws {
        let repositories = try await GitServer()
        try await repositories.make(
            "app.git",
            "echo 1 > f; git add -A; git commit -qm 1; echo 2 > f; git commit -qam 2; git tag -a v1 -m v1"
        )
        let (first, second) = try await (
            repositories.commit("app.git", "main~1"), repositories.commit("app.git", "main")
        )
        let files = RawPath(repositories.path(""))
        let server = try WebServer { request in
            let name = String(request.path.dropFirst())
            guard let bytes = try? readFile(files.appending(name)) else { return .notFound }
            guard name.hasSuffix("info/refs") else { return .init(body: bytes) }
            let honest = String(decoding: bytes, as: UTF8.self)
            return .text(honest.replacing("\(second)\trefs/tags/v1^{}", with: "\(first)\trefs/tags/v1^{}"))
        }
        let store = try GalleyStore()
        let context = try BuildContext("FROM scratch\nADD --checksum=\(first) \(server.url)/app.git#v1 /r/\n")
        let build = try await DirectoryBuild(store, context)
        #expect(build.result.status == 1)
        #expect(build.result.errors.contains("stands for \(first), but it stands for \(second)"), "\(build.result)")
        // Nothing of it is taken for the commit that it was said to be.
        let honest = try await DirectoryBuild(store, add("\(repositories.url("app.git"))#\(first)"))
        try honest.result.get()
        #expect(honest.files == ["r/f": "1\n"])
    }

    @Test("a repository behind ssh is fetched with the build's agent and nobody's settings")
    func secureShell() async throws {
        let server = try await GitServer()
        try await server.make("app.git", "echo 1 > f; git add -A; git commit -qm 1")
        let store = try GalleyStore()
        let programs = store.directory.file("bin")
        try makeDirectories(programs)
        // Runs the command here, as the server would there.
        let ssh = """
            #!/bin/sh
            { printf '%s\\n' "$@"; env; } > '\(store.directory.path)/ssh.log'
            for last; do :; done
            exec /bin/sh -c "$last"
            """
        try replaceFile(programs.appending("ssh"), Array(ssh.utf8), mode: 0o755)
        let path = try #require(plainEnvironment["PATH"])
        let build = try await DirectoryBuild(
            store,
            try add("ssh://git@host.test\(server.path("app.git"))"),
            environment: ["PATH": "\(programs):\(path)", "GIT_DIR": "/nonexistent", "GIT_SSH_COMMAND": "false"]
        )
        try build.result.get()
        #expect(build.files == ["r/f": "1\n"])
        let log = try String(decoding: readFile(store.directory.file("ssh.log")), as: UTF8.self)
        #expect(log.contains("git@host.test\n"))
        #expect(log.contains("UserKnownHostsFile=\"\(store.root)/git/known_hosts\" \""))
        #expect(log.contains("StrictHostKeyChecking=accept-new\n") && log.contains("BatchMode=yes\n"))
        #expect(log.contains("GIT_CONFIG_NOSYSTEM=1\n") && !log.contains("SSH_AUTH_SOCK="))
    }

    @Test("ending a build that fetches ends git and all it started", arguments: [SIGINT, SIGKILL])
    func ended(by signal: CInt) async throws {
        // Takes the connection and never answers.
        let listener = try LoopbackListener()
        defer { listener.close() }
        let store = try GalleyStore()
        let url = "git://127.0.0.1:\(listener.port)/marker-\(newMarker()).git"
        let context = try add(url)
        let program = try store.start(["build", "--progress", "plain", context.path])
        try await eventually("git waits for the server") { try containerProcesses(url) > 0 }
        program.send(signal)
        #expect(try await program.finish().status == 128 + signal)
        try await eventually("git has ended") { try containerProcesses(url) == 0 }
        _ = try await store.galley("images").get()
        try expectNothingLeft(store.leftovers())
    }
}
