// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Builder
import LinuxSystem

/// Where a build's context and Dockerfile come from.
struct BuildInput {
    let context: BuildRequest.Context
    let recipe: BuildRequest.Recipe

    /// Takes standard input when it is named: as the context it is an archive or a Dockerfile, which its bytes tell.
    init(context: String, file: String?, standardInput: () throws -> SharedFD) throws {
        guard context == "-" || file == "-" else {
            self.context = .location(context)
            recipe = .file(file)
            return
        }
        guard context != file else {
            throw BuilderError(
                .invalidRequest,
                "invalid argument: can't use stdin for both build context and dockerfile",
                nextStep: "give one of them as a file"
            )
        }
        let input = try standardInput()
        if context == "-" {
            self.context = .stream(input)
            recipe = .file(file)
        } else {
            self.context = .location(context)
            recipe = .text(try readAll(input.raw))
        }
    }
}
