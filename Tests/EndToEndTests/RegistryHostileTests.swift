// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import OCI
import Testing

/// Registries that are gone, lie or never end: one message, exit code 1, and a store in which builds still work.
@Suite(.enabled(if: TestInstallation.isComplete))
struct RegistryHostileTests {
    /// Something wrong with an image that is fine otherwise.
    enum Fault: String, CaseIterable {
        case otherLayer, shortLayer, endlessLayer, longLayer, layerMissing, layerIsNoArchive, otherDiffID
        case shortConfig, endlessConfig, otherConfig
        case endlessManifest, manifestIsNoJSON, otherManifestDigest, hugeSizes, negativeSize, strangeType
    }

    private static func registry(_ fault: Fault) throws -> FakeRegistry {
        let registry = try FakeRegistry()
        let tar = try TarBuilder { archive in
            for number in 0..<50 {
                try archive.file(RawPath("file-\(number)"), String(repeating: "\(number * 7919)", count: 500))
            }
        }.bytes()
        let isNoArchive = fault == .layerIsNoArchive
        let layer = try registry.addImage("app", isNoArchive ? [UInt8](repeating: 0x41, count: 70_000) : tar)
        let blob = try compressed(tar, .gzip)
        let path = "app/blobs/\(layer)"
        func blobs(_ change: (inout FakeRegistry.Reply) -> Void) {
            registry.change(pathsContaining: "/blobs/", except: layer.hex, change)
        }
        switch fault {
        case .otherLayer: registry.reply(to: path, .init(body: [UInt8](repeating: 0x42, count: blob.count)))
        case .shortLayer:
            registry.reply(to: path, .init(body: Array(blob[..<1000]), promised: blob.count, ending: .cut))
        case .endlessLayer: registry.reply(to: path, .init(body: blob, ending: .endless))
        case .longLayer: registry.reply(to: path, .init(body: blob + [0, 0, 0]))
        case .layerMissing: registry.reply(to: path, .notFound)
        case .layerIsNoArchive: break
        case .otherDiffID: blobs { $0.body = Array(String(decoding: $0.body, as: UTF8.self).swappedDiffID.utf8) }
        case .shortConfig:
            blobs {
                $0.promised = $0.body.count
                $0.body.removeLast(10)
                $0.ending = .cut
            }
        case .endlessConfig: blobs { $0.ending = .endless }
        case .otherConfig: blobs { $0.body = [UInt8](repeating: 0x20, count: $0.body.count) }
        case .endlessManifest: registry.change(pathsContaining: "/manifests/") { $0.ending = .endless }
        case .manifestIsNoJSON:
            registry.change(pathsContaining: "/manifests/") { reply in
                reply.body = Array("<html>".utf8)
                reply.headers.removeLast()
            }
        case .otherManifestDigest:
            registry.change(pathsContaining: "/manifests/") { reply in
                reply.headers[1] = "Docker-Content-Digest: sha256:" + String(repeating: "0", count: 64)
            }
        case .hugeSizes: registry.changeManifest { $0.replacing(size: "9223372036854775807") }
        case .negativeSize: registry.changeManifest { $0.replacing(size: "-1") }
        case .strangeType: registry.changeManifest { $0.replacing("layer.v1.tar+gzip", "layer.v1.tar+brotli") }
        }
        return registry
    }

    @Test(arguments: Fault.allCases)
    func aLyingRegistryIsRefused(_ fault: Fault) async throws {
        let store = try await GalleyStore.pinned()
        let registry = try Self.registry(fault)
        let context = try BuildContext("FROM \(registry.host)/app\nCOPY Dockerfile /d\n")
        // A tree is wanted, so that the layers must come.
        let result = try await store.tryBuild(context, ["-o", "type=tar,dest=/dev/null"])
        #expect(result.status == 1, "\(result)")
        let message = try result.message()
        #expect(message.contains(registry.host), "\(message)")
        #expect(try await store.galley("images", "--format", "{{.Repository}}").get().output == "alpine\n")
        try await store.requireUnharmed()
    }

    @Test(arguments: ["app:nothing", "nothing:latest", "app@sha256:\(String(repeating: "0", count: 64))"])
    func whatDoesNotExist(_ name: String) async throws {
        let store = try await GalleyStore.pinned()
        let registry = try FakeRegistry()
        try registry.addImage("app", TarBuilder { try $0.file("f") }.bytes())
        for build in [true, false] {
            let result =
                build
                ? try await store.tryBuild(BuildContext("FROM \(registry.host)/\(name)\n"))
                : try await store.galley("pull", "\(registry.host)/\(name)")
            #expect(result.status == 1)
            let message = try result.message()
            #expect(message.contains("\(registry.host)/\(name)") && message.contains("not found"), "\(result)")
        }
        try await store.requireUnharmed()
    }

    @Test func nobodyListens() async throws {
        let store = try await GalleyStore.pinned()
        let host = "127.0.0.1:\(try freePort())"
        try await store.galley("tag", "alpine", "\(host)/app").get()
        let pushed = try await store.galley("push", "\(host)/app")
        try await store.galley("rmi", "\(host)/app").get()
        let built = try await store.tryBuild(BuildContext("FROM \(host)/app\nRUN true\n"))
        for result in [pushed, built] {
            #expect(result.status == 1)
            #expect(try result.message().contains(host), "\(result)")
        }
        try await store.requireUnharmed()
    }

    /// Names in archives that lead outside the layer.
    static let names: [RawPath] = ["../../escaped", "/../escaped", "a/../../../escaped"]

    @Test(arguments: names)
    func layersCannotWriteOutside(_ name: RawPath) async throws {
        let store = try await GalleyStore.pinned()
        let registry = try FakeRegistry()
        try registry.addImage(
            "app",
            TarBuilder {
                try $0.symlink("out", to: "/tmp")
                try $0.file("out/galley-escaped", "bad")
                try $0.file(name, "bad")
            }.bytes()
        )
        let context = try BuildContext("FROM \(registry.host)/app\n")
        let result = try await store.tryBuild(context, ["-o", "type=tar,dest=/dev/null"])
        #expect(result.status <= 1)
        #expect(!TestInstallation.exists("/tmp/galley-escaped"))
        let found = try await runScript(
            "find \"$1\" -name '*escaped*' -not -path '*/snapshots/*/fs/*'",
            [
                store.directory.path.description
            ]
        )
        #expect(found == "")
        try await store.requireUnharmed()
    }

    @Test func aHardLinkToNothing() async throws {
        let store = try await GalleyStore.pinned()
        let registry = try FakeRegistry()
        try registry.addImage("app", TarBuilder { try $0.hardLink("link", to: "missing") }.bytes())
        let context = try BuildContext("FROM \(registry.host)/app\n")
        let result = try await store.tryBuild(context, ["-o", "type=tar,dest=/dev/null"])
        #expect(result.status == 1)
        #expect(try result.message().contains("missing"), "\(result)")
        try await store.requireUnharmed()
    }
}

extension String {
    fileprivate func replacing(_ part: String, _ other: String) -> String {
        split(separator: part, omittingEmptySubsequences: false).joined(separator: other)
    }

    fileprivate func replacing(size: String) -> String {
        guard let range = lastRange(of: "\"size\":") else { return self }
        let rest = self[range.upperBound...].drop { $0.isNumber }
        return self[..<range.upperBound] + size + rest
    }

    private func lastRange(of part: String) -> Range<String.Index>? { ranges(of: part).last }

    fileprivate var swappedDiffID: String {
        guard let range = ranges(of: "[\"sha256:").last else { return self }
        return self[..<range.upperBound] + String(repeating: "0", count: 64)
            + self[index(range.upperBound, offsetBy: 64)...]
    }
}
