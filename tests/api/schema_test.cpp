// What a type says about itself at run time.
#include "tests/api/shapes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using testing::HasSubstr;

namespace hidden {
struct thing {
  int a = 0;
  PAWL_FIELDS(a)
};
}  // namespace hidden

template <class T>
std::string name_of() {
  return pawl::descriptor_of<T>().name;
}

TEST(descriptors, have_names_that_are_the_same_with_every_compiler) {
  // These are in digests of recorded runs: they may not change.
  EXPECT_EQ(name_of<void>(), "nil");
  EXPECT_EQ(name_of<bool>(), "bool");
  EXPECT_EQ(name_of<long>(), "int64");
  EXPECT_EQ(name_of<unsigned char>(), "uint8");
  EXPECT_EQ(name_of<float>(), "float32");
  EXPECT_EQ(name_of<std::string>(), "string");
  EXPECT_EQ(name_of<std::vector<std::byte>>(), "bytes");
  EXPECT_EQ(name_of<pawl::any_value>(), "any");
  EXPECT_EQ(name_of<std::chrono::hours>(), "milliseconds");
  EXPECT_EQ(name_of<std::chrono::sys_seconds>(), "time");
  EXPECT_EQ(name_of<std::optional<std::vector<shapes::order>>>(), "optional<list<shapes::order>>");
  EXPECT_EQ((name_of<std::array<int, 3>>()), "list<int32,3>");
  EXPECT_EQ((name_of<std::unordered_map<std::string, int>>()), "map<string,int32>");
  EXPECT_EQ((name_of<std::map<std::string, int>>()), "map<string,int32>");
  EXPECT_EQ((name_of<std::pair<int, std::tuple<>>>()), "tuple<int32,tuple<>>");
  EXPECT_EQ(name_of<shapes::colour>(), "shapes::colour");
  EXPECT_EQ(name_of<shapes::size>(), "shapes::size");
  EXPECT_EQ(name_of<shapes::point>(), "shapes.Point");
  EXPECT_EQ(name_of<shapes::renamed>(), "shapes::before");
  EXPECT_EQ(name_of<hidden::thing>(), "hidden::thing");
}

TEST(descriptors, describe_fields) {
  const auto& order = pawl::descriptor_of<shapes::order>();
  ASSERT_EQ(order.kind, pawl::type_kind::object);
  ASSERT_EQ(order.fields.size(), 6U);
  const auto* currency = order.find("currency");
  ASSERT_NE(currency, nullptr);
  EXPECT_EQ(currency->type->kind, pawl::type_kind::string);
  EXPECT_EQ(currency->fallback, pawl::encode(std::string("EUR")));
  EXPECT_TRUE(currency->may_be_missing());
  EXPECT_FALSE(order.find("total")->may_be_missing());
  EXPECT_EQ(order.find("totl"), nullptr);
  const auto& lines = *order.find("lines")->type;
  EXPECT_EQ(&*lines.element, &pawl::descriptor_of<shapes::line>());
  EXPECT_TRUE(lines.element->find("price")->may_be_missing());
  EXPECT_TRUE(lines.element->find("price")->optional);
}

TEST(descriptors, describe_types_that_hold_themselves) {
  const auto& tree = pawl::descriptor_of<shapes::tree>();
  EXPECT_EQ(&*tree.find("children")->type->element, &tree);
  EXPECT_EQ(&*tree.find("named")->type->element, &tree);
}

TEST(descriptors, describe_one_of_everything) {
  const auto& all = pawl::descriptor_of<shapes::all>();
  const auto kind = [&](std::string_view field) { return all.find(field)->type->kind; };
  EXPECT_EQ(kind("yes"), pawl::type_kind::boolean);
  EXPECT_EQ(kind("blob"), pawl::type_kind::bytes);
  EXPECT_EQ(kind("some"), pawl::type_kind::tuple);
  EXPECT_EQ(kind("colour"), pawl::type_kind::name);
  EXPECT_EQ(kind("unit"), pawl::type_kind::nil);
  EXPECT_EQ(kind("any"), pawl::type_kind::any);
  EXPECT_EQ(kind("at"), pawl::type_kind::custom);
  EXPECT_EQ(all.find("size")->type->bits, 16);
  EXPECT_TRUE(all.find("size")->type->is_signed);
  EXPECT_EQ(all.find("u8")->type->bits, 8);
  EXPECT_FALSE(all.find("u8")->type->is_signed);
  EXPECT_TRUE(all.find("wait")->type->is_milliseconds);
  EXPECT_EQ(all.find("three")->type->size, 3U);
  EXPECT_EQ(all.find("some")->type->elements.size(), 3U);
  EXPECT_EQ(all.find("colour")->type->names, (std::vector<std::string>{"red", "green", "blue"}));
}

TEST(json_schema, of_a_struct) {
  EXPECT_EQ(pawl::json_schema(pawl::descriptor_of<shapes::order>()),
            R"({"$schema":"https://json-schema.org/draft/2020-12/schema","$ref":"#/$defs/shapes.order","$defs":{)"
            R"("shapes.line":{"type":"object","title":"shapes::line","properties":{"sku":{"type":"string"},)"
            R"("count":{"type":"integer","minimum":-2147483648,"maximum":2147483647},)"
            R"("price":{"anyOf":[{"type":"number"},{"type":"null"}]}},"required":["sku","count"],)"
            R"("additionalProperties":false},)"
            R"("shapes.order":{"type":"object","title":"shapes::order","properties":{"id":{"type":"string"},)"
            R"("total":{"type":"number"},"currency":{"type":"string","default":"EUR"},"card":{"type":"string"},)"
            R"("lines":{"type":"array","items":{"$ref":"#/$defs/shapes.line"},"default":[]},)"
            R"("tags":{"type":"array","items":{"type":"string"},"default":["new","web"]}},)"
            R"("required":["id","total","card"],"additionalProperties":false}}})");
}

TEST(json_schema, of_a_type_that_holds_itself) {
  EXPECT_EQ(pawl::json_schema(pawl::descriptor_of<shapes::tree>()),
            R"({"$schema":"https://json-schema.org/draft/2020-12/schema","$ref":"#/$defs/shapes.tree","$defs":{)"
            R"("shapes.tree":{"type":"object","title":"shapes::tree","properties":{"name":{"type":"string"},)"
            R"("children":{"type":"array","items":{"$ref":"#/$defs/shapes.tree"}},)"
            R"("named":{"type":"object","additionalProperties":{"$ref":"#/$defs/shapes.tree"}}},)"
            R"("required":["name","children","named"],"additionalProperties":false}}})");
}

template <class T>
std::string body() {
  const std::string head = R"({"$schema":"https://json-schema.org/draft/2020-12/schema")";
  const auto text = pawl::json_schema(pawl::descriptor_of<T>());
  return text.substr(0, head.size()) == head ? text.substr(head.size()) : text;
}

TEST(json_schema, of_everything_else) {
  EXPECT_EQ(body<pawl::any_value>(), "}");
  EXPECT_EQ(body<void>(), R"(,"type":"null"})");
  EXPECT_EQ(body<std::uint64_t>(), R"(,"type":"integer","minimum":0,"maximum":18446744073709551615})");
  EXPECT_EQ(body<std::int64_t>(), R"(,"type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807})");
  EXPECT_EQ((body<std::array<bool, 2>>()), R"(,"type":"array","items":{"type":"boolean"},"minItems":2,"maxItems":2})");
  EXPECT_EQ((body<std::pair<bool, std::string>>()),
            R"(,"type":"array","prefixItems":[{"type":"boolean"},{"type":"string"}],"items":false,"minItems":2})");
  EXPECT_EQ(body<shapes::colour>(), R"(,"type":"string","enum":["red","green","blue"]})");
  EXPECT_EQ(body<shapes::point>(), R"(,"type":"string","contentEncoding":"base64","title":"shapes.Point"})");
  EXPECT_THAT(body<std::chrono::seconds>(), HasSubstr(R"("description":"milliseconds")"));
}

struct defaults {
  double number = 0;
  std::optional<int> maybe;
  std::map<std::string, shapes::line> lines;
  shapes::colour colour{};
  std::string text;
  std::vector<std::byte> blob;
  pawl::any_value any;
  PAWL_FIELDS((number, 0.1), (maybe, 3), (lines, {{"a", {"s", 1, {}}}}), (colour, shapes::colour::blue),
              (text, "a\"\\\n"), (blob, {std::byte{1}}), (any, {}))
};

TEST(json_schema, of_defaults) {
  const auto text = body<defaults>();
  EXPECT_THAT(text, HasSubstr(R"("number":{"type":"number","default":0.1})"));
  EXPECT_THAT(text, HasSubstr(R"({"type":"null"}],"default":3})"));
  EXPECT_THAT(text, HasSubstr(R"("default":{"a":{"sku":"s","count":1,"price":null}}})"));
  EXPECT_THAT(text, HasSubstr(R"("default":"blue"})"));
  EXPECT_THAT(text, HasSubstr(R"("default":"a\"\\\u000a"})"));
  EXPECT_THAT(text, HasSubstr(R"("blob":{"type":"string","contentEncoding":"base64"})"));
  EXPECT_THAT(text, HasSubstr(R"("any":{})"));
  EXPECT_THAT(text, HasSubstr(R"("required":[])"));
}

}  // namespace
