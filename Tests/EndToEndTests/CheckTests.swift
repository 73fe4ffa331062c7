// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import OCI
import Testing

/// `--check` and `--call`, and the warnings of a build.
@Suite(.endToEnd) struct CheckTests {
    private static let shared = SharedStore()

    private func ask(_ dockerfile: String, _ options: [String], _ files: [String: String] = [:]) async throws
        -> ProgramResult
    {
        let store = try await Self.shared.get()
        return try await store.tryBuild(try BuildContext(dockerfile, files), options)
    }

    @Test func checkReportsAndBuildsNothing() async throws {
        let result = try await ask(
            "FROM alpine:latest as a\nCOPY secret.txt /\nRUN exit 7\n",
            ["--check"],
            [".dockerignore": "secret.*"]
        )
        #expect(result.status == 1)
        #expect(result.output.hasPrefix("Check complete, 2 warnings have been found!\n\nWARNING: FromAsCasing - "))
        #expect(result.output.contains("\nAttempting to Copy file \"secret.txt\" that is excluded by .dockerignore\n"))
        #expect(result.output.contains("   2 | >>> COPY secret.txt /\n"))
        let ignoring = try await ask("FROM alpine:latest as a\n", ["--call=check,ignorestatus=true"])
        #expect(ignoring.status == 0)
    }

    @Test func checkOfACleanFile() async throws {
        let result = try await ask("FROM alpine:latest\nENV A=$PATH\n", ["--check"])
        #expect(result.status == 0)
        #expect(result.output == "Check complete, no warnings found.\n")
    }

    @Test func checkLooksAtAllStagesWithoutTarget() async throws {
        let file = "FROM alpine:latest AS one\nLABEL a=$b\nFROM alpine:latest\nLABEL a=$c\n"
        let all = try await ask(file, ["--call=check,format=json"])
        let found = try JSONValue(parsing: all.outputBytes)["warnings"]?.arrayValue
        #expect(found?.count == 2)
        #expect(all.status == 1)
        let one = try await ask(file, ["--check", "--target", "one"])
        #expect(one.output.hasPrefix("Check complete, 1 warning has been found!\n"))
    }

    @Test func checkTellsErrors() async throws {
        let parse = try await ask("FROM alpine:latest\nCOPPY a b\n", ["--check"])
        #expect(parse.status == 1)
        #expect(parse.errors.contains("unknown instruction: COPPY"))
        #expect(parse.errors.contains("   2 | >>> COPPY a b\n"))
        let stage = try await ask("FROM alpine:latest\nCOPY --from=9 a b\n", ["--call=check,format=json"])
        #expect(stage.status == 1)
        let json = try JSONValue(parsing: stage.outputBytes)
        #expect(json["buildError"]?["message"]?.stringValue?.contains("invalid stage index 9") == true)
    }

    @Test func buildListsWarnings() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest as a\nMAINTAINER me\n")
        let files = try ScratchDirectory()
        let metadata = files.file("metadata.json")
        let result = try await store.galley(
            ["build", "--progress", "plain", "--metadata-file", metadata.description, context.path],
            environment: ["BUILDX_METADATA_WARNINGS": "1"]
        )
        #expect(result.status == 0)
        #expect(result.errors.contains(" 2 warnings found:\n - FromAsCasing: 'as' and 'FROM' keywords'"))
        #expect(result.errors.contains(" - MaintainerDeprecated: Maintainer instruction is deprecated in favor of"))
        #expect(result.errors.contains(" (line 2)\n"))
        let written = try JSONValue(parsing: readFile(metadata))
        #expect(written["buildx.build.warnings"]?.arrayValue?.count == 2)
    }

    @Test(arguments: ["COPY --from=9 a b", "EXPOSE x", "FROM 127.0.0.1:1/none:1"])
    func warningsAreListedWhenABuildCannotBe(line: String) async throws {
        let result = try await ask("FROM alpine:latest as a\n\(line)\n", ["--progress", "plain"])
        #expect(result.status == 1)
        #expect(result.errors.contains("FromAsCasing: 'as' and 'FROM' keywords"), "\(result)")
        #expect(result.errors.contains("ERROR: failed to "), "\(result)")
    }

    @Test func outputsOfACallAreIgnoredAloud() async throws {
        let scratch = try ScratchDirectory()
        let output = scratch.file("out").description
        let result = try await ask("FROM alpine:latest\n", ["--check", "-o", output, "--load", "--explain"])
        #expect(result.status == 0)
        #expect(
            result.errors.contains(
                "note: --output, --load, --explain have no meaning with --call=check: nothing is built"
            )
        )
        #expect(!TestInstallation.exists(output))
    }

    @Test func violationsCanFailABuild() async throws {
        let result = try await ask("# check=error=true\nFROM alpine:latest as a\n", [])
        #expect(result.status == 1)
        #expect(result.errors.contains("lint violation found for rules: FromAsCasing"))
        #expect(result.errors.contains("(line 2)"))
        let skipped = try await ask(
            "# check=error=true\nFROM alpine:latest as a\n",
            ["--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=FromAsCasing;error=true"]
        )
        #expect(skipped.status == 0)
    }

    @Test func outlineAndTargetsAskNobody() async throws {
        let file = """
            # VERSION of the base
            ARG VERSION=1
            # base is first
            FROM no-such-registry.invalid/image:${VERSION} AS base
            RUN --mount=type=secret,id=token,required true
            FROM base
            """
        let outline = try await ask(file, ["--call=outline"])
        #expect(outline.status == 0)
        #expect(outline.output.contains("VERSION     1       of the base\n"))
        #expect(outline.output.contains("token    true\n"))
        let targets = try await ask(file, ["--call", "targets,format=json"])
        #expect(targets.status == 0)
        let list = try JSONValue(parsing: targets.outputBytes)["targets"]?.arrayValue
        #expect(list?.map { $0["description"]?.stringValue } == ["is first", nil])
        let unknown = try await ask(file, ["--call=outline", "--target=nope"])
        #expect(unknown.status == 1)
        #expect(unknown.errors.contains("target stage \"nope\" could not be found"))
    }
}
