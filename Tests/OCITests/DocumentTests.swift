// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI
import Testing

@Suite struct DocumentTests {
    private static let digest = "sha256:" + String(repeating: "a", count: 64)
    private static let descriptor =
        #"{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"\#(digest)","size":7}"#

    @Test func manifestKeepsUnknownFields() throws {
        let text =
            #"{"annotations":{"a":"b"},"artifactType":"application/x","config":\#(Self.descriptor),"#
            + #""layers":[{"data":"AAAA","digest":"\#(Self.digest)","mediaType":"x","new":[1,{"y":null}],"size":3}],"#
            + #""mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2,"subject":\#(Self.descriptor)}"#
        let manifest = try Manifest(parsing: Array(text.utf8))
        #expect(manifest.layers.count == 1)
        #expect(manifest.config.size == 7)
        #expect(try JSONValue(parsing: manifest.encoded()) == JSONValue(parsing: text.utf8))
        #expect(try Manifest(parsing: manifest.encoded()) == manifest)
    }

    @Test func indexKeepsUnknownFields() throws {
        let text =
            #"{"manifests":[{"digest":"\#(Self.digest)","mediaType":"x","platform":{"architecture":"amd64","os":"linux","#
            + #""os.features":["f"],"os.version":"1"},"size":3,"x":true}],"#
            + #""mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2,"zeta":{"a":1.5}}"#
        let index = try Index(parsing: Array(text.utf8))
        #expect(try JSONValue(parsing: index.encoded()) == JSONValue(parsing: text.utf8))
    }

    @Test func configKeepsUnknownFields() throws {
        let text =
            #"{"architecture":"arm64","config":{"Env":["A=1"],"Labels":null,"New":[{}]},"history":[{"created_by":"x","q":1}],"#
            + #""os":"linux","rootfs":{"diff_ids":["\#(Self.digest)"],"type":"layers"},"vendor":{"z":9223372036854775807}}"#
        var config = try ImageConfig(parsing: Array(text.utf8))
        #expect(String(decoding: config.encoded(), as: UTF8.self) == text)
        #expect(config.platform.description == "linux/arm64")
        #expect(config.diffIDs.count == 1)
        config.cmd = ["x/y"]
        config.history.append(History(created: nil, createdBy: "z", emptyLayer: true))
        #expect(config.document["vendor"]?["z"]?.integerValue == .max)
        #expect(config.document["config"]?["New"] == [[:]])
        #expect(config.history.map(\.emptyLayer) == [false, true])
        config.cmd = nil
        #expect(config.document["config"]?["Cmd"] == nil)
    }

    @Test(
        arguments: [
            (["A=1", "A=2"], "A", "2"), (["AB=1"], "A", nil), (["A="], "A", ""), (["A"], "A", nil),
            (["A=\u{301}x"], "A", "\u{301}x"), (["A\u{301}=x"], "A", nil), (["e\u{301}=1"], "\u{e9}", nil),
            (["A==="], "A", "=="), ([], "A", nil),
        ] as [([String], String, String?)]
    ) func environment(env: [String], name: String, expected: String?) {
        var config = ImageConfig()
        config.env = env
        #expect(config.environment(name).map { Array($0.utf8) } == expected.map { Array($0.utf8) })
    }

    @Test(arguments: [
        "", "null", "[]", "\"x\"", "1", "{", "{\"a\":}", "{} {}", "{\"rootfs\":{\"diff_ids\":[1]}}",
        "{\"rootfs\":{\"diff_ids\":[\"sha256:1\"]}}", "{\"rootfs\":{\"diff_ids\":\"x\"}}", "{\"config\":[]}",
        "\u{feff}{",
        "{\"a\":1e999}", "{\"a\":\"\\ud800\"}",
    ]) func refusesConfigs(text: String) {
        #expect(throws: OCIError.self) { try ImageConfig(parsing: Array(text.utf8)) }
    }

    @Test(arguments: [
        "{}", "null", "[]", #"{"schemaVersion":1}"#, #"{"schemaVersion":2}"#, #"{"schemaVersion":2,"layers":[]}"#,
        #"{"schemaVersion":2,"config":{"digest":"\#(digest)","size":-1}}"#,
        #"{"schemaVersion":2,"config":{"digest":"\#(digest)","size":9223372036854775808}}"#,
        #"{"schemaVersion":2,"config":{"digest":"\#(digest)","size":1.5}}"#,
        #"{"schemaVersion":2,"config":{"digest":"\#(digest)","size":1e300}}"#,
        #"{"schemaVersion":2,"config":{"digest":"sha256:x","size":1}}"#,
        #"{"schemaVersion":2,"config":{"digest":"\#(digest)"}}"#,
        #"{"schemaVersion":2,"config":\#(descriptor),"layers":[],"manifests":[]}"#,
        #"{"schemaVersion":2,"config":\#(descriptor),"layers":[{"digest":"\#(digest)","size":-5}]}"#,
        #"{"schemaVersion":2,"manifests":[],"layers":[{"digest":"\#(digest)","size":5}]}"#,
    ]) func refusesManifests(text: String) {
        #expect(throws: OCIError.self) { try Manifest(parsing: Array(text.utf8)) }
        #expect(throws: OCIError.self) { try Index(parsing: Array(text.utf8)) }
    }

    /// A depth bomb is an error wherever it lies, and no crash on a thread with a small stack either.
    @Test(arguments: [("[", "]"), ("{\"a\":", "}")], ["\"x\":", "\"config\":", "\"manifests\":", "\"annotations\":"])
    func refusesDepthBombs(brackets: (String, String), field: String) async {
        for closed in [false, true] {
            var bomb = String(repeating: brackets.0, count: 100_000)
            if closed { bomb += "1" + String(repeating: brackets.1, count: 100_000) }
            let text = "{\"schemaVersion\":2,\(field)\(bomb)}"
            #expect(throws: OCIError.self) { try JSONValue(parsing: bomb.utf8) }
            #expect(throws: OCIError.self) { try ImageConfig(parsing: Array(text.utf8)) }
            #expect(throws: OCIError.self) { try Manifest(parsing: Array(text.utf8)) }
            #expect(throws: OCIError.self) { try Index(parsing: Array(text.utf8)) }
        }
    }

    @Test func readsWhatIsDeepButAllowed() throws {
        let text = String(repeating: "[", count: 400) + String(repeating: "]", count: 400)
        #expect(String(decoding: try JSONValue(parsing: text.utf8).encoded(), as: UTF8.self) == text)
    }

    @Test func layerMediaTypes() {
        for compression in MediaType.Compression.allCases {
            for docker in [false, true] {
                let type = MediaType.layer(compression, docker: docker)
                #expect(type.layerCompression == compression)
                #expect(type.isDocker == docker)
            }
        }
        #expect(MediaType.ociManifest.layerCompression == nil)
    }
}
