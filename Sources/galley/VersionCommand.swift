// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import OCI

struct VersionCommand: EngineCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Show the version.")

    /// No version has been released.
    static let version = "0.1.0-dev"

    @OptionGroup var global: GlobalOptions

    @Option(
        name: .letter("f", "format"),
        parsing: .unconditional,
        help: .init("json, or a template like '{{.Client.Version}}'.", value: "format")
    )
    var format: String?

    @Flag(help: .hidden) var short = false

    func execute(_ session: Session) async throws -> Int32 {
        try writeOutput(text() + "\n")
        return 0
    }

    func text() throws -> String {
        let platform = Platform.host
        if short { return "galley version \(Self.version)" }
        let value: JSONValue = [
            "Client": [
                "Version": .string(Self.version), "Os": .string(platform.os), "Arch": .string(platform.architecture),
            ]
        ]
        switch format {
        case nil, "": return "Galley:\n Version:  \(Self.version)\n OS/Arch:  \(platform)"
        case "json": return compactJSON(value)
        case .some(let format): return try FormatTemplate(format).render(value)
        }
    }
}
