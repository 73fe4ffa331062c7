// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import OCI
import Testing

@Suite struct IdentityTests {
    /// A way to change an operation, and whether former results still hold afterwards.
    struct Change: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var before: BuildOp
        var after: BuildOp
        var keepsCache: Bool

        init<Op>(
            _ name: String,
            _ wrap: (Op) -> BuildOp,
            _ op: Op,
            keepsCache: Bool = false,
            _ change: (inout Op) -> Void
        ) {
            var changed = op
            change(&changed)
            testDescription = name
            before = wrap(op)
            after = wrap(changed)
            self.keepsCache = keepsCache
        }
    }

    static let exec = ExecOp(
        arguments: ["sh", "-c", "x"],
        environment: ["A=1", "B=2"],
        proxyEnvironment: ["http_proxy=p"],
        workingDirectory: "/",
        user: "",
        extraHosts: [.init(name: "db", address: "10.0.0.1")],
        ulimits: [.init(name: "nofile", soft: 1, hard: 2)]
    )

    static let execChanges: [Change] = [
        Change("arguments", BuildOp.exec, exec) { $0.arguments = ["sh", "-c", "y"] },
        Change("argument boundaries", BuildOp.exec, exec) { $0.arguments = ["sh", "-cx"] },
        Change("environment", BuildOp.exec, exec) { $0.environment = ["A=1", "B=3"] },
        Change("order of environment", BuildOp.exec, exec) { $0.environment = ["B=2", "A=1"] },
        Change("environment boundaries", BuildOp.exec, exec) { $0.environment = ["A=1B=2"] },
        Change("working directory", BuildOp.exec, exec) { $0.workingDirectory = "/w" },
        Change("user", BuildOp.exec, exec) { $0.user = "0" },
        Change("network", BuildOp.exec, exec) { $0.network = .none },
        Change("hostname", BuildOp.exec, exec) { $0.hostname = "h" },
        Change("names of hosts", BuildOp.exec, exec) { $0.extraHosts[0].name = "web" },
        Change("empty root", BuildOp.exec, exec) { $0.emptyRoot = true },
        Change("proxies", BuildOp.exec, exec, keepsCache: true) { $0.proxyEnvironment = [] },
        Change("addresses of hosts", BuildOp.exec, exec, keepsCache: true) { $0.extraHosts[0].address = "10.0.0.2" },
        Change("ulimit name", BuildOp.exec, exec, keepsCache: true) { $0.ulimits[0].name = "core" },
        Change("soft ulimit", BuildOp.exec, exec, keepsCache: true) { $0.ulimits[0].soft = 2 },
        Change("hard ulimit", BuildOp.exec, exec, keepsCache: true) { $0.ulimits[0].hard = 3 },
        Change("no ulimits", BuildOp.exec, exec, keepsCache: true) { $0.ulimits = [] },
        Change("shared memory", BuildOp.exec, exec, keepsCache: true) { $0.sharedMemorySize = 1 },
        Change("security", BuildOp.exec, exec) { $0.security = .insecure },
        Change("bind mount", BuildOp.exec, exec) { $0.mounts = [bind("/a", "/t")] },
        Change("cache mount", BuildOp.exec, exec) { $0.mounts = [cache("c")] },
        Change("secret", BuildOp.exec, exec) { $0.mounts = [secret("s")] },
        Change("bind source", BuildOp.exec, mounted(bind("/a", "/t"))) { $0.mounts = [bind("/b", "/t")] },
        Change("bind target", BuildOp.exec, mounted(bind("/a", "/t"))) { $0.mounts = [bind("/a", "/u")] },
        Change("cache id", BuildOp.exec, mounted(cache("c")), keepsCache: true) { $0.mounts = [cache("d")] },
        Change("cache sharing", BuildOp.exec, mounted(cache("c")), keepsCache: true) {
            $0.mounts = [cache("c", .locked)]
        },
        Change("secret id", BuildOp.exec, mounted(secret("s"))) { $0.mounts = [secret("t")] },
    ]

    static func mounted(_ mount: ExecMount) -> ExecOp {
        var op = exec
        op.mounts = [mount]
        return op
    }

    static func bind(_ path: String, _ target: String) -> ExecMount {
        ExecMount(.bind(input: 1, path: path), target: target, readOnly: true)
    }

    static func cache(_ id: String, _ sharing: CacheMount.Sharing = .shared) -> ExecMount {
        ExecMount(.cache(CacheMount(id: id, sharing: sharing)), target: "/c", readOnly: false)
    }

    static func secret(_ id: String) -> ExecMount {
        ExecMount(.secret(SecretMount(id: id)), target: "/run/secrets/s", readOnly: true)
    }

    static let copy = FileCopy(input: 0, source: "/a", destination: "/b")

    static let fileChanges: [Change] = [
        Change("input", copyOp, copy) { $0.input = 1 },
        Change("source", copyOp, copy) { $0.source = "/c" },
        Change("wildcards", copyOp, copy) { $0.allowsWildcards = false },
        Change("destination", copyOp, copy) { $0.destination = "/b/" },
        Change("owner", copyOp, copy) { $0.owner = FileOwner("0") },
        Change("empty owner", copyOp, copy) { $0.owner = FileOwner("") },
        Change("permissions", copyOp, copy) { $0.permissions = .exact(0o644) },
        Change("no permissions", copyOp, copy) { $0.permissions = .exact(0) },
        Change("unpacking", copyOp, copy) { $0.unpacksArchives = true },
        Change("parents", copyOp, copy) { $0.parentsPivot = "/" },
        Change("exclude", copyOp, copy) { $0.excludePatterns = ["*.o"] },
        Change("directory", copyOp, copy) { $0.destinationIsDirectory = true },
        Change("base", BuildOp.file, FileOp(actions: [], hasBase: false)) { $0.hasBase = true },
        Change("actions", BuildOp.file, FileOp(actions: [.copy(copy)], hasBase: true)) { $0.actions += $0.actions },
        Change("kind", BuildOp.file, FileOp(actions: [.makeDirectory(.init(path: "/a"))], hasBase: true)) {
            $0.actions = [.makeFile(.init(path: "/a", permissions: 0o755, content: []))]
        },
        Change("directory path", directoryOp, FileMakeDirectory(path: "/a")) { $0.path = "/b" },
        Change("directory permissions", directoryOp, FileMakeDirectory(path: "/a")) { $0.permissions = 0o700 },
        Change("directory owner", directoryOp, FileMakeDirectory(path: "/a")) { $0.owner = FileOwner("1") },
        Change("file path", makeFileOp, FileMakeFile(path: "/a", content: [1])) { $0.path = "/b" },
        Change("file permissions", makeFileOp, FileMakeFile(path: "/a", content: [1])) { $0.permissions = 0o600 },
        Change("file content", makeFileOp, FileMakeFile(path: "/a", content: [1])) { $0.content = [2] },
    ]

    static let sourceChanges: [Change] = [
        Change("layout", BuildOp.image, image, keepsCache: true) { $0.layout = "/l" },
        Change("git remote", BuildOp.git, GitOp(remote: "a")) { $0.remote = "b" },
        Change("git reference", BuildOp.git, GitOp(remote: "a")) { $0.reference = "" },
        Change("git directory", BuildOp.git, GitOp(remote: "a")) { $0.subdirectory = "s" },
        Change(".git", BuildOp.git, GitOp(remote: "a")) { $0.keepsGitDirectory = true },
        Change("URL", BuildOp.http, HTTPOp(url: "http://a")) { $0.url = "https://a" },
        Change("URL's file", BuildOp.http, HTTPOp(url: "http://a")) { $0.fileName = "f" },
        Change("reference", BuildOp.image, image, keepsCache: true) { $0.reference.tag = "2" },
        Change("config", BuildOp.image, image, keepsCache: true) { $0.config = .sha256("other") },
        Change("platform", BuildOp.image, image, keepsCache: true) { $0.platform.architecture = "riscv64" },
        Change("layers", BuildOp.image, image) { $0.diffIDs.append(.empty) },
        Change("name", BuildOp.local, local) { $0.name = "other" },
        Change("followed paths", BuildOp.local, local) { $0.followPaths = ["a b"] },
        Change("everything", BuildOp.local, local) { $0.followPaths = [] },
        Change("ignored", BuildOp.local, local) { $0.excludePatterns = ["b", "a"] },
        Change("fields", BuildOp.local, local) { swap(&$0.followPaths, &$0.excludePatterns) },
    ]

    static let image = ImageOp(
        reference: Reference(domain: "docker.io", path: "library/a", tag: "1"),
        manifest: nil,
        config: .sha256("config"),
        platform: Platform(os: "linux", architecture: "amd64"),
        diffIDs: [DiffID(.sha256("layer"))]
    )
    static let local = LocalOp(name: "context", followPaths: ["a", "b"], excludePatterns: ["c"])

    static func copyOp(_ copy: FileCopy) -> BuildOp { .file(FileOp(actions: [.copy(copy)], hasBase: true)) }
    static func directoryOp(_ make: FileMakeDirectory) -> BuildOp {
        .file(FileOp(actions: [.makeDirectory(make)], hasBase: true))
    }
    static func makeFileOp(_ make: FileMakeFile) -> BuildOp {
        .file(FileOp(actions: [.makeFile(make)], hasBase: true))
    }

    @Test(arguments: execChanges + fileChanges + sourceChanges)
    func everyFieldCounts(_ change: Change) {
        let (before, after) = (vertex(change.before), vertex(change.after))
        #expect(before.id != after.id)
        #expect((change.before.cacheBytes == change.after.cacheBytes) == change.keepsCache)
        #expect(before.id == vertex(change.before).id)
    }

    @Test func differentOperationsNeverShareBytes() {
        let ops: [BuildOp] = [
            .exec(Self.exec), .image(Self.image), .local(Self.local), Self.copyOp(Self.copy),
            Self.directoryOp(.init(path: "/a")), Self.makeFileOp(.init(path: "/a", content: [])),
        ]
        #expect(Set(ops.map(\.canonicalBytes)).count == ops.count)
        #expect(Set(ops.map(\.cacheBytes)).count == ops.count)
    }

    @Test func inputsAndTheirOrderCount() {
        let (a, b) = (vertex(.local(LocalOp(name: "a"))), vertex(.local(LocalOp(name: "b"))))
        let op = BuildOp.exec(Self.exec)
        let ids = [[], [a.id], [b.id], [a.id, b.id], [b.id, a.id]].map {
            BuildVertex(op: op, inputs: $0, metadata: .init(name: "x")).id
        }
        #expect(Set(ids).count == ids.count)
    }

    @Test func metadataDoesNotCount() {
        let op = BuildOp.exec(Self.exec)
        let metadata = BuildVertex.Metadata(
            name: "other",
            lines: 1...2,
            stage: "s",
            instruction: "RUN",
            ignoresCache: true
        )
        #expect(BuildVertex(op: op, inputs: [], metadata: metadata).id == vertex(op).id)
    }

    func vertex(_ op: BuildOp) -> BuildVertex { BuildVertex(op: op, inputs: [], metadata: .init(name: "step")) }
}
