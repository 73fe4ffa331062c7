// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileLint
import DockerfileSyntax
import OCI
import Testing

@Suite struct LintTests {
    private func report(_ text: String, _ change: (inout LintRequest) throws -> Void = { _ in }) throws -> LintReport {
        var request = LintRequest.forTests
        try change(&request)
        return lint(try Dockerfile(parsing: text), request)
    }

    // MARK: - Settings

    @Test func argumentTakesThePlaceOfTheDirective() throws {
        let text = "# check=skip=all;error=true\nFROM alpine as A\n"
        let given = try report(text) { $0.buildArguments["BUILDKIT_DOCKERFILE_CHECK"] = "skip=FromAsCasing" }
        #expect(given.listing == "2 StageNameCasing: Stage name 'A' should be lowercase\n")
        let empty = try report(text) { $0.buildArguments["BUILDKIT_DOCKERFILE_CHECK"] = "" }
        #expect(empty.warnings.count == 2)
        #expect(empty.failure == nil)
        let wrong = try report(text) { $0.buildArguments["BUILDKIT_DOCKERFILE_CHECK"] = "no" }
        #expect(
            wrong.listing
                == "error: failed to parse build-arg:BUILDKIT_DOCKERFILE_CHECK: invalid check option \"no\"\n"
        )
        #expect(wrong.statusCode == 1)
    }

    @Test func argumentCanMakeViolationsErrors() throws {
        let report = try report("FROM alpine as a\n") {
            $0.buildArguments["BUILDKIT_DOCKERFILE_CHECK"] = "error=true"
        }
        #expect(report.failure?.message == "lint violation found for rules: FromAsCasing")
    }

    @Test func namesAreQuotedAsGoDoes() throws {
        let report = try report("FROM scratch\nWORKDIR a\u{7}\u{a0}b\n")
        #expect(report.listing.contains(#"Relative workdir "a\a\u00a0b" can have"#), "\(report.listing)")
    }

    // MARK: - Base images

    @Test func usesVariablesOfBaseImages() throws {
        let text = "FROM java AS a\nCOPY x $JAVA_HOME/$JAVA_HOM\nFROM a\nCMD run\n"
        let report = try report(text) {
            $0.config = { reference, platform in
                #expect(reference.description == "docker.io/library/java:latest")
                var config = ImageConfig(platform: platform)
                config.env = ["JAVA_HOME=/java", "EMPTY"]
                config.document["config"]?["Shell"] = ["/bin/bash"]
                return config
            }
        }
        #expect(
            report.listing
                == "2 UndefinedVar: Usage of undefined variable '$JAVA_HOM' (did you mean $JAVA_HOME?)\n"
        )
    }

    @Test func doesNotGuessWhatUnknownImagesDefine() throws {
        let text = """
            FROM java AS a
            LABEL x=$JAVA_HOME
            FROM a
            LABEL x=$OTHER
            WORKDIR x
            FROM scratch
            LABEL x=$NOTHING
            """
        let report = try report(text) { $0.config = { _, _ in nil } }
        #expect(
            report.listing == """
                5 WorkdirRelativePath: Relative workdir "x" can have unexpected results if the base image changes
                7 UndefinedVar: Usage of undefined variable '$NOTHING'

                """
        )
        #expect(report.unknownImages == ["java"])
    }

    @Test func comparesPlatforms() throws {
        let text = """
            FROM one
            FROM --platform=$BUILDPLATFORM two
            FROM scratch
            COPY --from=three:1 / /
            RUN --mount=type=bind,from=four,target=/x true
            """
        let report = try report(text) {
            $0.platform = Platform(os: "linux", architecture: "arm", variant: "v7")
            $0.config = { reference, platform in
                let isRight = reference.path == "library/two"
                return ImageConfig(platform: isRight ? platform : Platform(os: "linux", architecture: "s390x"))
            }
        }
        let rule = "InvalidBaseImagePlatform: Base image"
        let rest = "was pulled with platform \"linux/s390x\", expected \"linux/arm/v7\" for current build\n"
        #expect(
            report.listing == "1 \(rule) one \(rest)4 \(rule) three:1 \(rest)5 \(rule) four \(rest)"
        )
    }

    @Test func followsTriggersOfBaseImages() throws {
        let text = "FROM alpine AS tools\nCMD x\nFROM base\nCMD [\"a\"]\n"
        let report = try report(text) {
            $0.target = nil
            $0.coversAllStages = false
            $0.config = { reference, platform in
                var config = ImageConfig(platform: platform)
                if reference.path == "library/base" {
                    config.onBuild = ["COPY --from=tools /x /$y", "CMD [\"b\"]", "not an instruction"]
                }
                return config
            }
        }
        #expect(
            report.listing == """
                2 JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS \
                signals
                3 UndefinedVar: Usage of undefined variable '$y'
                3 MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage \
                because only the last one will be used

                """
        )
    }

    @Test func leavesReplacedStagesAlone() throws {
        let text = "FROM alpine AS tools\nCMD x\nFROM tools\nLABEL a=$b\nFROM other\nLABEL a=$b\n"
        let report = try report(text) { $0.namedContexts = ["tools", "other"] }
        #expect(report.listing == "")
        #expect(report.unknownImages == ["other"])
    }

    // MARK: - Ignored files

    @Test(arguments: [
        ("a.log", "COPY a.log /", "a.log"),
        ("a.log", "COPY ./x/../a.log /", "a.log"),
        ("dir", "COPY dir/sub/file /", "dir/sub/file"),
        ("**/*.o", "COPY /x/y.o z /", "/x/y.o"),
        ("a", "COPY /a /", nil),
        ("a", "COPY b /", nil),
        ("a\n!a/b", "COPY a /", nil),
        ("*", "COPY . /", "."),
        ("**", "COPY / /", "/"),
        ("a", "COPY . /", nil),
        ("a", "COPY --from=alpine a /", nil),
        ("$x", "COPY $PATH /", nil),
        ("", "COPY a /", nil),
    ])
    func findsIgnoredSources(ignore: String, instruction: String, path: String?) throws {
        let report = try report("FROM alpine\n\(instruction)\n") {
            $0.ignorePatterns = try IgnoreFile(parsing: ignore).patterns
        }
        let expected = path.map {
            "2 CopyIgnoredFile: Attempting to Copy file \"\($0)\" that is excluded by .dockerignore\n"
        }
        #expect(report.listing == expected ?? "")
    }

    @Test func namesTheInstructionOfIgnoredSources() throws {
        let text = "FROM alpine\nADD a https://example.com/a git@example.com:a/b.git /\n"
        let report = try report(text) { $0.ignorePatterns = ["**"] }
        #expect(
            report.listing == "2 CopyIgnoredFile: Attempting to Add file \"a\" that is excluded by .dockerignore\n"
        )
    }

    // MARK: - Reports

    @Test func printsExcerpts() throws {
        let report = try report("FROM alpine\n\nRUN true\nMAINTAINER me\nENV a \\\n  b\n")
        let page = "https://docs.docker.com/go/dockerfile/rule/"
        #expect(
            report.checkText == """
                Check complete, 2 warnings have been found!

                WARNING: MaintainerDeprecated - \(page)maintainer-deprecated/
                Maintainer instruction is deprecated in favor of using label
                Dockerfile:4
                --------------------
                   2 |\("     ")
                   3 |     RUN true
                   4 | >>> MAINTAINER me
                   5 |     ENV a \\
                   6 |       b
                --------------------

                WARNING: LegacyKeyValueFormat - \(page)legacy-key-value-format/
                "ENV key=value" should be used instead of legacy "ENV key value" format
                Dockerfile:5
                --------------------
                   4 |     MAINTAINER me
                   5 | >>> ENV a \\
                   6 | >>>   b
                   7 |\("     ")
                --------------------

                """
        )
    }

    @Test func summarises() throws {
        #expect(try report("FROM alpine\n").checkText == "Check complete, no warnings found.\n")
        let one = try report("FROM alpine as a\n")
        #expect(one.checkText.hasPrefix("Check complete, 1 warning has been found!\n\nWARNING: "))
        #expect(one.statusCode == 1)
        #expect(
            one.warnings.map(\.shortText) == ["FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)"]
        )
    }

    @Test func writesJSON() throws {
        let report = try report("# check=error=true\nFROM alpine\nENV a \\\n  b\n")
        let json = report.json
        let warning = try #require(json["warnings"]?.arrayValue?.first)
        #expect(warning["ruleName"] == "LegacyKeyValueFormat")
        #expect(warning["description"] == "Legacy key/value format with whitespace separator should not be used")
        #expect(warning["url"] == "https://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/")
        let three: JSONValue = ["line": 3]
        let four: JSONValue = ["line": 4]
        #expect(warning["location"]?["ranges"] == [["start": three, "end": three], ["start": four, "end": four]])
        #expect(json["buildError"]?["message"] == "lint violation found for rules: LegacyKeyValueFormat")
        let source = try #require(json["sources"]?.arrayValue?.first)
        #expect(source["filename"] == "Dockerfile")
        #expect(source["data"] == "IyBjaGVjaz1lcnJvcj10cnVlCkZST00gYWxwaW5lCkVOViBhIFwKICBiCg==")
    }

    // MARK: - Size

    @Test func boundsReports() throws {
        let words = (0..<3_000).map { "$undefined\($0)" }.joined(separator: " ")
        let report = try report("FROM alpine\nVOLUME /a \(words)\nCOPY <<E /x\n\(words)\nE\n")
        #expect(report.warnings.count == 1_000)
        #expect(report.omitted == 5_000)
        #expect(report.checkText.hasPrefix("Check complete, 6000 warnings have been found!\n"))
        #expect(report.checkText.hasSuffix("\n5000 more are not shown.\n"))
        #expect(report.checkText.utf8.count < 20 << 20)
    }

    /// Each is a shape that could take time or room with the square of its size. `<` is the number of a piece, `>` the
    /// next one.
    @Test(arguments: [
        "FROM s< AS s>\nENV V<=$V>\n",
        "ENV V<=1\nLABEL l=$U<\n",
        "FROM a:${U<:-1}\n",
        "FROM s< AS s>\nONBUILD COPY --from=s< a b\n",
        "CMD a\n",
        "ARG A>=$A<\n",
    ])
    func takesTimeInProportionToTheFile(_ piece: String) throws {
        var text = piece.hasPrefix("FROM") || piece.hasPrefix("ARG") ? "" : "FROM a\n"
        for number in 0..<3_000 {
            text += piece.replacing("<", with: "\(number)").replacing(">", with: "\(number + 1)")
        }
        text += "FROM scratch\n"
        let clock = ContinuousClock()
        let started = clock.now
        _ = try report(text)
        _ = Outline(try Dockerfile(parsing: text), .forTests)
        #expect(clock.now - started < .seconds(30))
    }
}
