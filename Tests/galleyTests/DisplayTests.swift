// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import OCI
import Testing

@testable import Builder
@testable import galley

@Suite struct DisplayTests {
    @Test(
        arguments: [
            (0, "0B"), (-5, "0B"), (999, "999B"), (1000, "1kB"), (1234, "1.23kB"), (1235, "1.24kB"),
            (12_345_678, "12.3MB"),
            (99_960, "100kB"), (999_499, "999kB"), (999_500, "1MB"), (141_000_000, "141MB"), (1_020_000_000, "1.02GB"),
            (7_800_000, "7.8MB"), (9_999_999, "10MB"), (Int64.max, "9.22EB"),
        ] as [(Int64, String)]
    )
    func sizes(_ bytes: Int64, _ expected: String) { #expect(humanSize(bytes) == expected) }

    @Test(
        arguments: [
            (-100, "Less than a second ago"), (1, "1 second ago"), (59, "59 seconds ago"), (60, "About a minute ago"),
            (120, "2 minutes ago"), (3599, "59 minutes ago"), (3600, "About an hour ago"), (7200, "2 hours ago"),
            (47 * 3600, "47 hours ago"), (48 * 3600, "2 days ago"), (14 * 86400, "2 weeks ago"),
            (60 * 86400, "2 months ago"), (730 * 86400, "2 years ago"),
        ] as [(Int64, String)]
    )
    func ages(_ seconds: Int64, _ expected: String) { #expect(humanAge(seconds: seconds) == expected) }

    @Test(
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2024-02-29T12:00:00.123456789Z", 1_709_208_000),
            ("2024-02-29T13:00:00+01:00", 1_709_208_000), ("1969-12-31T23:59:59Z", -1),
            ("0001-01-01T00:00:00Z", -62_135_596_800),
            ("", nil), ("2024-02-29", nil), ("2024-02-29T12:00:00", nil), ("2024-13-01T00:00:00Z", nil),
            ("2024-02-29T12:00:00Zx", nil), ("2024-02-29T12:00:00.", nil), ("2024-02-29T12:00:00+1", nil),
            ("20x4-02-29T12:00:00Z", nil),
        ] as [(String, Int64?)]
    )
    func moments(_ text: String, _ expected: Int64?) { #expect(secondsSince1970(text) == expected) }

    @Test func tables() {
        #expect(
            textTable([["A", "LONGER HEADER", "C"], ["1", "2", "3"]])
                == "A         LONGER HEADER   C\n1         2               3\n"
        )
        #expect(textTable([]).isEmpty)
    }

    @Test func indentation() {
        let value: JSONValue = ["b": [1, ["c": "<\"/>"]], "a": [:], "e": []]
        #expect(
            indentedJSON(value, by: 2) == """
                {
                  "a": {},
                  "b": [
                    1,
                    {
                      "c": "<\\"/>"
                    }
                  ],
                  "e": []
                }
                """
        )
    }

    private func images() throws -> [ImageSummary] {
        let id = Digest(sha256Raw: [UInt8](repeating: 0xab, count: 32))
        return try ["app:1", "reg.example.com:5000/team/app:2"].map {
            ImageSummary(
                reference: try Reference($0),
                id: id,
                repositoryDigest: nil,
                created: "2024-01-01T00:00:00Z",
                size: 12_345_678
            )
        }
    }

    @Test func imageLists() throws {
        let now: Int64 = 1_704_067_200 + 600
        var command = try #require(try GalleyCommand.parseAsRoot(["images"]) as? ImagesCommand)
        #expect(
            try command.render(images(), now: now) == """
                REPOSITORY                      TAG       IMAGE ID       CREATED          SIZE
                app                             1         abababababab   10 minutes ago   12.3MB
                reg.example.com:5000/team/app   2         abababababab   10 minutes ago   12.3MB

                """
        )
        command = try #require(
            try GalleyCommand.parseAsRoot(["images", "--format", "{{.Repository}}:{{.Tag}}"]) as? ImagesCommand
        )
        #expect(try command.render(images(), now: now) == "app:1\nreg.example.com:5000/team/app:2\n")
        command = try #require(try GalleyCommand.parseAsRoot(["images", "-q"]) as? ImagesCommand)
        #expect(try command.render(images(), now: now) == "abababababab\nabababababab\n")
        command = try #require(
            try GalleyCommand.parseAsRoot(["images", "--format", #"table {{.Tag}}\t{{.Size}}"#]) as? ImagesCommand
        )
        #expect(try command.render(images(), now: now) == "TAG       SIZE\n1         12.3MB\n2         12.3MB\n")
    }

    @Test(arguments: [
        ("app", true), ("app:1", true), ("docker.io/library/app:1", true), ("app:2", false), ("other", false),
        ("a*", true),
    ])
    func names(_ name: String, _ expected: Bool) throws {
        #expect(try ImagesCommand.matches(Reference("app:1"), name: name) == expected)
    }

    @Test(arguments: [
        ("app", true), ("app:1", true), ("ap?:*", true), ("*", true), ("*/*", false), ("b*", false), ("a*p:1", true),
        ("a**", true), ("", false),
    ])
    func patterns(_ pattern: String, _ expected: Bool) throws {
        #expect(try ImagesCommand.matches(Reference("app:1"), pattern: pattern) == expected)
    }

    @Test func longPatternsEnd() throws {
        let name = try Reference(String(repeating: "a", count: 200) + ":1")
        #expect(!ImagesCommand.matches(name, pattern: String(repeating: "a*", count: 60) + "b"))
    }

    @Test func histories() throws {
        let command = try #require(try GalleyCommand.parseAsRoot(["history", "x"]) as? HistoryCommand)
        let line = HistoryLine(
            image: nil,
            created: nil,
            createdBy: "RUN \t" + String(repeating: "x", count: 60),
            size: nil,
            comment: "c"
        )
        let text = try command.render([line], now: 0)
        #expect(text.contains("<missing>   N/A       RUN  " + String(repeating: "x", count: 39) + "…   N/A"))
    }
}
