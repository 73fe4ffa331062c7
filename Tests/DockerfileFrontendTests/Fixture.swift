// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileFrontend
import DockerfileSyntax
import OCI
import Solver
import Synchronization
import Testing

/// Knows the images it is given and remembers what it was asked.
final class FakeResolver: ImageResolver {
    struct Unknown: Error, CustomStringConvertible {
        let description: String
    }

    private let images: [String: ImageConfig]
    private let asked = Mutex<[String]>([])

    init(_ images: [String: ImageConfig] = standardImages) { self.images = images }

    /// In the order of the alphabet; one entry a call.
    var requests: [String] { asked.withLock { $0.sorted() } }

    func resolveImage(_ reference: Reference, platform: Platform, layout: String?) async throws -> ResolvedImage {
        asked.withLock { $0.append("\(reference.familiar) \(platform)") }
        guard let config = images[reference.familiar] else {
            throw Unknown(description: "\(reference): not found")
        }
        let bytes = config.encoded()
        return ResolvedImage(
            reference: reference,
            manifest: nil,
            configDigest: .sha256(bytes),
            config: config
        )
    }
}

let amd64 = Platform(os: "linux", architecture: "amd64")
let arm64 = Platform(os: "linux", architecture: "arm64")

/// An image with one layer for each history entry.
func image(_ name: String, _ change: (inout ImageConfig) -> Void = { _ in }) -> ImageConfig {
    var config = ImageConfig(platform: amd64)
    config.created = "2024-01-01T00:00:00Z"
    config.diffIDs = [DiffID(.sha256(name))]
    config.history = [History(created: "2024-01-01T00:00:00Z", createdBy: "ADD rootfs of \(name)")]
    config.env = ["PATH=/usr/bin:/bin"]
    config.cmd = ["/bin/sh"]
    change(&config)
    return config
}

let standardImages: [String: ImageConfig] = [
    "alpine:latest": image("alpine"),
    "golang:1.21-alpine": image("golang") {
        $0.env = ["PATH=/usr/local/go/bin:/usr/bin:/bin", "GOPATH=/go"]
        $0.workingDirectory = "/go"
    },
    "debian:bookworm-slim": image("debian"),
    "empty:latest": image("empty") {
        $0.diffIDs = []
        $0.history = []
    },
]

func testRequest(_ change: (inout LoweringRequest) -> Void = { _ in }) -> LoweringRequest {
    var request = LoweringRequest(buildPlatform: amd64)
    change(&request)
    return request
}

func lowered(
    _ text: String,
    _ request: LoweringRequest = testRequest(),
    _ resolver: FakeResolver = FakeResolver()
) async throws -> LoweredBuild {
    try await lower(Dockerfile(parsing: text), request, resolver: resolver)
}

/// One `line:column: message` for each diagnostic; nil when lowering succeeds.
func diagnostics(
    _ text: String,
    _ request: LoweringRequest = testRequest(),
    _ resolver: FakeResolver = FakeResolver()
) async throws -> [String]? {
    do {
        _ = try await lower(Dockerfile(parsing: text), request, resolver: resolver)
        return nil
    } catch let error as DockerfileDiagnostics {
        return error.diagnostics.map { "\($0.range.start): \($0.message)" }
    } catch let error as ImageResolutionError {
        return error.diagnostics.diagnostics.map { "\($0.range.start): \($0.message)" }
    }
}

extension LoweredBuild {
    /// All steps, inputs first.
    var vertices: [BuildVertex] { graph.order.compactMap { graph[$0] } }
    var names: [String] { vertices.map(\.metadata.name) }

    func vertex(_ text: String) throws -> BuildVertex {
        try #require(vertices.first { $0.metadata.name.contains(text) }, "no step has \(text): \(names)")
    }

    func exec(_ text: String) throws -> ExecOp {
        guard case .exec(let op) = try vertex(text).op else { throw FakeResolver.Unknown(description: "not a RUN") }
        return op
    }

    func file(_ text: String) throws -> FileOp {
        guard case .file(let op) = try vertex(text).op else { throw FakeResolver.Unknown(description: "not a COPY") }
        return op
    }

    func copies(_ text: String) throws -> [FileCopy] {
        try file(text).actions.compactMap { if case .copy(let copy) = $0 { copy } else { nil } }
    }

    func inputs(_ text: String) throws -> [String] {
        try vertex(text).inputs.compactMap { graph[$0]?.metadata.name }
    }

    var local: LocalOp? {
        for vertex in vertices { if case .local(let op) = vertex.op { return op } }
        return nil
    }

    /// `created_by`, with `~` in front of entries without a layer; those of the base left out.
    var ownHistory: [String] {
        config.history.dropFirst(base?.config.history.count ?? 0).map { ($0.emptyLayer ? "~" : "") + $0.createdBy }
    }
}
