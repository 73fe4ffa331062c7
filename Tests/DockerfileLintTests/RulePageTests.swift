// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileLint
import DockerfileSyntax
import Foundation
import OCI
import Testing

/// The examples of docs/rules are test cases.
@Suite struct RulePageTests {
    private static func page(_ name: String) throws -> String {
        let url = LintCorpus.repository.appending(path: "docs/rules/\(name).md")
        return String(decoding: try Data(contentsOf: url), as: UTF8.self)
    }

    /// The code blocks of a page in one language.
    private static func blocks(_ language: String, in page: String) -> [String] {
        page.components(separatedBy: "```\(language)\n").dropFirst().map {
            $0.components(separatedBy: "```")[0]
        }
    }

    private static func report(_ text: String, ignore: String?) throws -> LintReport {
        var request = LintRequest.forTests
        request.ignorePatterns = try ignore.map { try IgnoreFile(parsing: $0).patterns } ?? []
        request.config = { reference, platform in
            let isOther = reference.path == "example/arm64-only"
            var config = ImageConfig(platform: isOther ? Platform(os: "linux", architecture: "arm64") : platform)
            config.env = ["PATH=/bin"]
            return config
        }
        return lint(try Dockerfile(parsing: text), request)
    }

    @Test(arguments: LintRule.allCases)
    func examplesAreRight(_ rule: LintRule) throws {
        let page = try Self.page(rule.slug)
        #expect(page.hasPrefix("# \(rule.name)\n"))
        let examples = Self.blocks("dockerfile", in: page)
        #expect(examples.count == 2)
        let ignore = Self.blocks("dockerignore", in: page).first
        let bad = try Self.report(examples[0], ignore: ignore)
        #expect(!bad.warnings.isEmpty)
        #expect(Set(bad.warnings.map(\.rule)) == [rule])
        let good = try Self.report(examples[1], ignore: ignore)
        #expect(good.listing == "")
    }

    @Test func listNamesEveryRule() throws {
        let list = try Self.page("README")
        for rule in LintRule.allCases {
            #expect(list.contains("[\(rule.name)](\(rule.slug).md)"))
        }
    }
}
