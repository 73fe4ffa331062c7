// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder

struct TagCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "tag",
        abstract: "Give an image a further name.",
        usage: "galley tag SOURCE[:TAG] TARGET[:TAG]"
    )

    @OptionGroup var global: GlobalOptions
    @Argument(help: .init("A name or an id.", value: "source")) var source: String
    @Argument(help: .init("The new name.", value: "target")) var target: String

    func execute(_ session: Session) async throws -> Int32 {
        try session.engine().tag(source, target)
        return 0
    }
}
