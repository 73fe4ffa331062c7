// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder
import OCI

struct ImagesCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "images",
        abstract: "List images.",
        usage: "galley images [OPTIONS] [REPOSITORY[:TAG]]"
    )

    static let listing = Listing(
        columns: [
            .init(field: "Repository", header: "REPOSITORY"), .init(field: "Tag", header: "TAG"),
            .init(field: "Digest", header: "DIGEST"), .init(field: "ID", header: "IMAGE ID"),
            .init(field: "CreatedSince", header: "CREATED"), .init(field: "CreatedAt", header: "CREATED AT"),
            .init(field: "Size", header: "SIZE"),
        ],
        table: ["Repository", "Tag", "ID", "CreatedSince", "Size"]
    )

    @OptionGroup var global: GlobalOptions

    // Stages have no images of their own, so that there is nothing more to show.
    @Flag(name: .shortAndLong, help: "Show all images.")
    var all = false

    @Flag(name: .shortAndLong, help: "Print only ids.")
    var quiet = false

    @Flag(name: .customLong("no-trunc"), help: "Print whole ids.")
    var full = false

    @Flag(help: "Show the digests that images have in their registries.")
    var digests = false

    @Option(
        parsing: .unconditional,
        help: .init("table, json, or a template like '{{.Repository}}:{{.Tag}}'.", value: "format")
    )
    var format: String?

    @Option(
        name: .letter("f", "filter"),
        parsing: .unconditionalSingleValue,
        help: .init("Show only what matches: reference=PATTERN.", value: "filter")
    )
    var filters: [String] = []

    @Argument(help: .init("Show only this repository or name.", value: "name"))
    var name: String?

    func execute(_ session: Session) async throws -> Int32 {
        let patterns = try filters.map(Self.referencePattern)
        let images = try session.engine().images().filter { image in
            (name.map { Self.matches(image.reference, name: $0) } ?? true)
                && patterns.allSatisfy { Self.matches(image.reference, pattern: $0) }
        }
        try writeOutput(render(images, now: currentSeconds()))
        return 0
    }

    func render(_ images: [ImageSummary], now: Int64) throws -> String {
        if quiet, format == nil { return images.map { shownID($0.id, full: full) + "\n" }.joined() }
        var listing = Self.listing
        if digests { listing.table.insert("Digest", at: 2) }
        return try listing.render(images.map { row($0, now) }, format: format)
    }

    private func row(_ image: ImageSummary, _ now: Int64) -> [String: String] {
        [
            "Repository": image.reference.familiarName,
            "Tag": image.reference.tag ?? "<none>",
            "Digest": (image.reference.digest ?? image.repositoryDigest)?.description ?? "<none>",
            "ID": shownID(image.id, full: full),
            "CreatedSince": shownAge(image.created, now: now),
            "CreatedAt": shownTime(image.created),
            "Size": humanSize(image.size),
        ]
    }

    static func referencePattern(_ filter: String) throws -> String {
        let (key, value) = try keyValue(filter, of: "--filter")
        guard key == "reference", let value, !value.isEmpty else {
            throw invalidValue("invalid filter '\(filter)'", "supported: reference=PATTERN")
        }
        return value
    }

    /// Whether `reference` is in the repository `name`, or is the name when it has a tag or a digest.
    static func matches(_ reference: Reference, name: String) -> Bool {
        if name.contains("*") { return matches(reference, pattern: name) }
        guard let wanted = try? Reference(name), wanted.name == reference.name else { return false }
        return (wanted.tag == nil || wanted.tag == reference.tag)
            && (wanted.digest == nil || wanted.digest == reference.digest)
    }

    /// As docker: the pattern is compared with the short name, with and without tag; `*` and `?` stop at slashes.
    static func matches(_ reference: Reference, pattern: String) -> Bool {
        [reference.familiar, reference.familiarName, reference.description, reference.name].contains {
            glob(Array(pattern.utf8)[...], Array($0.utf8)[...])
        }
    }

    private static func glob(_ pattern: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
        var (pattern, text) = (pattern, text)
        var retry: (pattern: ArraySlice<UInt8>, text: ArraySlice<UInt8>)?
        while !text.isEmpty || !pattern.isEmpty {
            if pattern.first == UInt8(ascii: "*") {
                pattern = pattern.dropFirst()
                retry = (pattern, text)
            } else if let first = pattern.first, let byte = text.first,
                first == byte || (first == UInt8(ascii: "?") && byte != UInt8(ascii: "/"))
            {
                (pattern, text) = (pattern.dropFirst(), text.dropFirst())
            } else if let last = retry, let byte = last.text.first, byte != UInt8(ascii: "/") {
                retry = (last.pattern, last.text.dropFirst())
                (pattern, text) = (last.pattern, last.text.dropFirst())
            } else {
                return false
            }
        }
        return true
    }
}
