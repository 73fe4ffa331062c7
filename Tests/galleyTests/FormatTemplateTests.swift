// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI
import Testing

@testable import galley

@Suite struct FormatTemplateTests {
    static let image: JSONValue = [
        "Id": "sha256:1", "Size": 12, "RepoTags": ["a:1", "b:2"],
        "Config": ["Labels": ["a.b": "c", "n": "1"], "Env": ["A=1"], "Cmd": .null],
    ]

    @Test(arguments: [
        ("{{.Size}}", "12"), ("{{ .Id }} x", "sha256:1 x"), ("{{json .Config.Labels}}", #"{"a.b":"c","n":"1"}"#),
        (#"{{index .Config.Labels "a.b"}}"#, "c"), (#"{{index .Config.Labels "none"}}"#, ""),
        ("{{index .Config.Labels `n`}}", "1"), ("{{index .RepoTags 1}}", "b:2"), ("{{.RepoTags}}", "[a:1 b:2]"),
        ("{{.Config.Labels}}", "map[a.b:c n:1]"), ("{{len .RepoTags}}", "2"), (#"a\tb\n"#, "a\tb\n"), ("", ""),
        ("{{upper .Id}}", "SHA256:1"), ("}}", "}}"), ("{{.Config.Entrypoint}}", "[]"),
    ])
    func renders(_ template: String, _ expected: String) throws {
        #expect(try FormatTemplate(template).render(Self.image, missing: InspectCommand.emptyFields) == expected)
    }

    @Test(arguments: [
        "{{", "{{}}", "{{.Size", "{{range .RepoTags}}x{{end}}", "{{if .Size}}x{{end}}", "{{.Size | json}}", "{{json}}",
        "{{json Size}}", "{{-  .Size -}}", "{{- .Size}}", "{{.}.}}", "{{..}}", "{{index .A \"b}}", "{{\"a\"}}",
        "{{.A .B}}", "{{json .A \"b\"}}",
        #"{{index .A "\n"}}"#, "{{template \"x\"}}",
    ])
    func refuses(_ template: String) { #expect(throws: (any Error).self) { try FormatTemplate(template) } }

    @Test(arguments: [
        "{{.Nothing}}", "{{.Size.X}}", "{{index .RepoTags 2}}", "{{index .RepoTags -1}}", "{{index .Size 0}}",
        "{{len .Size}}",
    ])
    func failsOnValues(_ template: String) throws {
        let template = try FormatTemplate(template)
        #expect(throws: (any Error).self) { try template.render(Self.image) }
    }
}
