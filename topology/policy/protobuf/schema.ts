import protobuf from "protobufjs";

/** A field as its schema declares it. */
export interface SchemaField {
  readonly number: number;
  /** A scalar's name; of a map, of its values. */
  readonly type: string;
  /** The message that `type` is, if it is one. */
  readonly message: SchemaMessage | undefined;
  readonly isMap: boolean;
}

/** A message as its schema declares it. */
export interface SchemaMessage {
  /** With its package. */
  readonly name: string;
  /** ProtoStream's number of it, from the annotation `@TypeId` in its comment. */
  readonly typeId: number | undefined;
  field(name: string): SchemaField | undefined;
}

/** One protobuf schema: its messages by name, their fields by name. */
export class ProtobufSchema {
  readonly #root: protobuf.Root;

  private constructor(root: protobuf.Root) {
    this.#root = root;
  }

  /** @throws Error when the text is no schema */
  static parse(text: string): ProtobufSchema {
    const options = { keepCase: true, alternateCommentMode: true };
    return new ProtobufSchema(protobuf.parse(text, options).root);
  }

  /** @param name with its package */
  message(name: string): SchemaMessage | undefined {
    const found = this.#root.lookup(name, [protobuf.Type]);
    return found instanceof protobuf.Type ? messageIn(found) : undefined;
  }
}

function messageIn(type: protobuf.Type): SchemaMessage {
  const annotated = /@TypeId\(\s*(\d+)\s*\)/.exec(type.comment ?? "")?.[1];
  return {
    name: type.fullName.replace(/^\./, ""),
    typeId: annotated === undefined ? undefined : Number(annotated),
    field: (name) => {
      const field = type.fields[name];
      if (field === undefined) return undefined;
      const message = type.lookup(field.type, [protobuf.Type]);
      return {
        number: field.id,
        type: field.type,
        message: message instanceof protobuf.Type ? messageIn(message) : undefined,
        isMap: field instanceof protobuf.MapField,
      };
    },
  };
}
