// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder
import OCI

struct InspectCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Show all about images, as JSON.",
        usage: "galley inspect [OPTIONS] IMAGE [IMAGE...]"
    )

    /// What docker's answer always has, though an image's config leaves it out when it is empty.
    static let emptyFields: [String: JSONValue] = [
        "Author": "", "Variant": "", "User": "", "WorkingDir": "", "StopSignal": "", "Hostname": "", "Domainname": "",
        "Comment": "", "Parent": "", "Env": [], "Cmd": [], "Entrypoint": [], "OnBuild": [], "Shell": [],
        "RepoTags": [], "RepoDigests": [], "Labels": [:], "ExposedPorts": [:], "Volumes": [:],
    ]

    @OptionGroup var global: GlobalOptions

    @Option(
        name: .letter("f", "format"),
        parsing: .unconditional,
        help: .init("json, or a template like '{{.Size}}'.", value: "format")
    )
    var format: String?

    @Option(help: .init("Only image is there.", visibility: .hidden))
    var type: String?

    @Argument(help: .init("Names or ids.", value: "image"))
    var images: [String]

    func execute(_ session: Session) async throws -> Int32 {
        if let type, type != "image" { throw invalidValue("there are only images here, no \(type)") }
        let template = try format.flatMap { $0.isEmpty || $0 == "json" ? nil : try FormatTemplate($0) }
        let engine = try session.engine()
        var found: [JSONValue] = []
        var code: Int32 = 0
        for image in images {
            do {
                let value = try engine.inspect(image)
                if let template {
                    try writeOutput(template.render(value, missing: Self.emptyFields) + "\n")
                } else {
                    found.append(value)
                }
            } catch let error as ClosedOutput {
                throw error
            } catch {
                session.report(error)
                code = 1
            }
        }
        if template == nil {
            let list = JSONValue.array(found)
            try writeOutput((format == "json" ? compactJSON(list) : indentedJSON(list, by: 4)) + "\n")
        }
        return code
    }
}
