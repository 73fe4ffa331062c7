// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileLint
import DockerfileSyntax
import OCI
import Testing

@Suite struct LintCorpusTests {
    /// Each directory has a Dockerfile, its warnings in `expected`, and perhaps an ignore file.
    @Test(arguments: LintCorpus.names)
    func reports(_ name: String) throws {
        let dockerfile = try Dockerfile(parsing: LintCorpus.text(name, "Dockerfile"))
        var request = LintRequest.forTests
        if let ignore = try? LintCorpus.text(name, "dockerignore") {
            request.ignorePatterns = try IgnoreFile(parsing: ignore).patterns
        }
        for line in (try? LintCorpus.text(name, "options"))?.split(separator: "\n") ?? [] {
            let parts = line.split(separator: "=", maxSplits: 1).map(String.init)
            switch parts[0] {
            case "target":
                request.target = parts[1]
                request.coversAllStages = false
            case "platform": request.platform = try Platform(parts[1])
            default: request.buildArguments[String(parts[0].dropFirst("build-arg:".count))] = parts[1]
            }
        }
        let report = lint(dockerfile, request)
        #expect(try report.listing == LintCorpus.text(name, "expected"))
    }

    @Test func coversEveryRuleBothWays() throws {
        var reporting: [String: Int] = [:]
        for name in LintCorpus.names {
            for line in try LintCorpus.text(name, "expected").split(separator: "\n") {
                let rule = line.split(separator: " ").dropFirst().first.map { String($0.dropLast()) } ?? ""
                reporting[rule, default: 0] += 1
            }
        }
        for rule in LintRule.allCases where rule != .invalidBaseImagePlatform {
            #expect(reporting[rule.name, default: 0] > 1, "\(rule.name)")
        }
        #expect(LintCorpus.names.count >= 80)
    }
}
