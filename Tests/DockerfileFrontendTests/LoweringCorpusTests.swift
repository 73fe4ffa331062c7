// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileFrontend
import DockerfileSyntax
import Foundation
import OCI
import Solver
import Testing

/// The cases under Tests/Corpus/lowering and lowering-refusals. Set GALLEY_UPDATE_CORPUS=1 to write what the code says
/// instead of comparing; then read the diff.
@Suite struct LoweringCorpusTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Corpus")
    private static let isUpdating = ProcessInfo.processInfo.environment["GALLEY_UPDATE_CORPUS"] == "1"

    private static func cases(_ name: String) -> [String] {
        let path = root.appending(path: name).path(percentEncoded: false)
        return ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
    }

    private func compare(_ found: String, with path: String) throws {
        let url = Self.root.appending(path: path)
        if Self.isUpdating {
            try Data(found.utf8).write(to: url)
        } else {
            #expect(try String(decoding: Data(contentsOf: url), as: UTF8.self) == found)
        }
    }

    // MARK: - What is lowered

    /// `expected` holds the steps' names, inputs first; the history of this build, `~` in front of entries without a
    /// layer; and the config.
    @Test(arguments: cases("lowering"))
    func lowersAsExpected(name: String) async throws {
        let directory = Self.root.appending(path: "lowering/\(name)")
        let file = try Dockerfile(parsing: Array(Data(contentsOf: directory.appending(path: "Dockerfile"))))
        let arguments = (try? String(contentsOf: directory.appending(path: "arguments"), encoding: .utf8)) ?? ""
        let build = try await lower(file, try request(arguments), resolver: CorpusImages())
        let steps = build.graph.reachable(from: build.result.map { [$0] } ?? []).map(\.metadata.name)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let config = try encoder.encode(JSONDecoder().decode(AnyJSON.self, from: Data(build.config.encoded())).runtime)
        let sections = [
            "# steps\n" + steps.joined(separator: "\n"),
            "# history\n" + build.ownHistory.map { $0.replacing("\n", with: "⏎") }.joined(separator: "\n"),
            "# config\n" + String(decoding: config, as: UTF8.self),
        ]
        try compare(sections.joined(separator: "\n") + "\n", with: "lowering/\(name)/expected")
    }

    private func request(_ arguments: String) throws -> LoweringRequest {
        var request = LoweringRequest(platform: amd64, buildPlatform: amd64)
        request.allowsInsecure = true
        request.allowsHostNetwork = true
        for line in arguments.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 1).map(String.init)
            let pair = splitPair(words.last ?? "")
            switch words[0] {
            case "build-arg": request.buildArguments[pair.name] = pair.value
            case "label": request.labels.append(.init(key: pair.name, value: pair.value))
            case "platform": request.platform = try Platform(words[1])
            case "target": request.target = words[1]
            case "multi-platform": request.showsPlatform = true
            default: throw FakeResolver.Unknown(description: "no argument \(line)")
            }
        }
        return request
    }

    private func splitPair(_ text: String) -> (name: String, value: String) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        return (parts[0], parts.count > 1 ? parts[1] : "")
    }

    // MARK: - What is refused

    /// `expected` holds one line per diagnostic: `line:column-line:column message`.
    @Test(arguments: cases("lowering-refusals"))
    func refusesWithReasons(name: String) async throws {
        let bytes = try Data(contentsOf: Self.root.appending(path: "lowering-refusals/\(name)/Dockerfile"))
        let file = try Dockerfile(parsing: Array(bytes))
        let error = await #expect(throws: DockerfileDiagnostics.self) {
            try await lower(file, testRequest(), resolver: CorpusImages())
        }
        let found = (error?.diagnostics ?? []).map { "\($0.range) \($0.message)\n" }.joined()
        try compare(found, with: "lowering-refusals/\(name)/expected")
        #expect(error?.render().isEmpty == false)
    }
}

/// Has every image; a few are special.
private struct CorpusImages: ImageResolver {
    func resolveImage(_ reference: Reference, platform: Platform, layout: String?) async throws -> ResolvedImage {
        var config = ImageConfig(platform: platform)
        config.diffIDs = [DiffID(.sha256("layer"))]
        config.history = [History(created: nil, createdBy: "base")]
        config.env = ["PATH=/usr/bin"]
        switch reference.familiarName {
        case "empty":
            config.diffIDs = []
            config.history = []
        case "onbuild": config.onBuild = ["ENV A=1", "RUN o $A", "COPY . /x"]
        case "onbuild-copies": config.onBuild = ["COPY --from=assets /a /b", "COPY --from=busybox /c /d"]
        case "rich":
            config.cmd = ["c"]
            config.entrypoint = ["e"]
            config.workingDirectory = "/w/"
            config.user = "u"
            config.labels = ["l": "1"]
            config.exposedPorts = ["80/tcp"]
            config.volumes = ["/v"]
            config.shell = ["sh", "-x"]
            config.stopSignal = "9"
            config.healthcheck = ["Test": ["CMD", "x"]]
        default: config.cmd = ["sh"]
        }
        return ResolvedImage(
            reference: reference,
            manifest: nil,
            configDigest: .sha256(config.encoded()),
            config: config
        )
    }
}

/// A config without what the other sections show.
private struct AnyJSON: Codable {
    var runtime: JSONValue

    init(from decoder: any Decoder) throws {
        var document = try JSONValue(from: decoder)
        document["history"] = nil
        document["rootfs"] = nil
        runtime = document
    }

    func encode(to encoder: any Encoder) throws { try runtime.encode(to: encoder) }
}
