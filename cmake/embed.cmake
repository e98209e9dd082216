# Run by shardscope_embed(): writes OUT, C++ that holds the files of FOLDER as embedded_NAME() (core/embedded.h).
file(GLOB_RECURSE paths RELATIVE ${FOLDER} ${FOLDER}/*.json ${FOLDER}/*.csv)
list(SORT paths)
set(code "#include \"core/embedded.h\"\n\nnamespace shardscope {\n\nstd::span<const EmbeddedFile> embedded_${NAME}();\n
std::span<const EmbeddedFile> embedded_${NAME}() {\n  static constexpr EmbeddedFile kFiles[] = {\n")
foreach(path IN LISTS paths)
  file(READ "${FOLDER}/${path}" text)
  string(APPEND code "      {\"${path}\", embedded_text(R\"embedded(${text})embedded\")},\n")
endforeach()
string(APPEND code "  };\n  return kFiles;\n}\n\n}  // namespace shardscope\n")
file(WRITE ${OUT} "${code}")
