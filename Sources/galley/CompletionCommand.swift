// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser

struct CompletionCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "completion",
        abstract: "Print the completion script for a shell."
    )

    enum Shell: String, ExpressibleByArgument, CaseIterable { case bash, zsh, fish }

    @OptionGroup var global: GlobalOptions
    @Argument var shell: Shell

    func execute(_ session: Session) async throws -> Int32 {
        let shell: CompletionShell =
            switch shell {
            case .bash: .bash
            case .zsh: .zsh
            case .fish: .fish
            }
        try writeOutput(GalleyCommand.completionScript(for: shell) + "\n")
        return 0
    }
}
