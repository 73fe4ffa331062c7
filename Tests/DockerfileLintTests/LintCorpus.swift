// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileLint
import Foundation
import OCI

/// The files under Tests/Corpus/lint and docs/rules.
enum LintCorpus {
    static let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let root = repository.appending(path: "Tests/Corpus/lint")

    static var names: [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: root.path(percentEncoded: false))) ?? []
        return names.filter { !$0.hasPrefix(".") }.sorted()
    }

    static func text(_ name: String, _ file: String) throws -> String {
        String(decoding: try Data(contentsOf: root.appending(path: "\(name)/\(file)")), as: UTF8.self)
    }
}

extension LintRequest {
    /// Every stage, on amd64, with base images that define PATH and nothing else.
    static var forTests: LintRequest {
        let platform = Platform(os: "linux", architecture: "amd64")
        return LintRequest(coversAllStages: true, platform: platform, buildPlatform: platform) { _, platform in
            var config = ImageConfig(platform: platform)
            config.env = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
            return config
        }
    }
}

extension LintReport {
    /// A line a warning: its lines, its rule, its message.
    var listing: String {
        var lines = warnings.map { warning in
            let place = warning.lines.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
            return "\(place ?? "-") \(warning.rule.name): \(warning.message)\n"
        }
        if let failure { lines.append("error: \(failure.message)\n") }
        return lines.joined()
    }
}
