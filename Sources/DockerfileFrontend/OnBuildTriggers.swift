// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax

/// The ONBUILD texts of a base image as instructions of the stage that is built on it.
enum OnBuildTriggers {
    static func parse(_ texts: [String], at range: SourceRange, image: String) throws(LoweringFailure)
        -> [StageInstruction]
    {
        var steps: [StageInstruction] = []
        for text in texts {
            steps.append(StageInstruction(try parse(text, range, image), isTrigger: true, triggerRange: range))
        }
        return steps
    }

    private static func parse(_ text: String, _ range: SourceRange, _ image: String) throws(LoweringFailure)
        -> Instruction
    {
        let parsed: Dockerfile
        do throws(DockerfileDiagnostics) {
            parsed = try Dockerfile(parsing: "FROM scratch\n\(text)", name: "ONBUILD trigger")
        } catch {
            let why = error.diagnostics.map(\.message).joined(separator: "; ")
            throw LoweringFailure("the ONBUILD trigger \"\(text)\" of \(image) is not valid: \(why)", range)
        }
        guard parsed.stages.count == 1, let stage = parsed.stages.first, stage.instructions.count == 1,
            let instruction = stage.instructions.first
        else { throw LoweringFailure("onbuild trigger should be a single expression: \"\(text)\"", range) }
        guard instruction.keyword != .onbuild, instruction.keyword != .maintainer else {
            throw LoweringFailure("\(instruction.keyword.rawValue) isn't allowed as an ONBUILD trigger", range)
        }
        return instruction
    }
}
